"""One step of the agent: look, plan, publish, act, report."""

import logging
import threading
import time
from pathlib import Path

from modelyard.registry.versions import ModelVersion
from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.downloads import Downloads
from modelyard.serving.fleet import Fleet
from modelyard.serving.ledger import Ledger
from modelyard.serving.model_store import ModelStore, Registry
from modelyard.serving.plan import plan
from modelyard.serving.pools import DesiredPool
from modelyard.serving.router import Router
from modelyard.serving.saved import SavedFile
from modelyard.serving.settings import AgentSettings
from modelyard.serving.telemetry import Telemetry, write_targets
from modelyard.serving.world import Limits, Plan, VersionKey, World

log = logging.getLogger(__name__)
BUSY_SECONDS = 0.2


class Reconciler:
    """Makes what is served what should be served, a step at a time.

    Args:
        settings: The agent's.
        telemetry: What to report to.
    """

    def __init__(self, settings: AgentSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._limits = Limits(ready=settings.replica.ready_seconds, drain=settings.drain_seconds)
        self._downloaded = False
        self.wake = threading.Event()
        self.database = DatabaseLink(settings.database, self.wake.set)
        self._ledger = Ledger(self.database, SavedFile(settings.folder / "agent-state.json"), self._reconsider)
        store = ModelStore(settings.models_folder, self._registry)
        store.sweep()
        self._downloads = Downloads(store, self.wake.set)
        self._router = Router(settings.router)
        self.fleet = Fleet(settings, self._folder_of)

    def step(self) -> float:
        """Do what there is to do now; returns the seconds until it makes sense to look again."""
        self._ledger.take_desired()
        if not self._ledger.knows:
            # Nothing may be taken for unwanted yet, but Envoy and `/health` need not wait for the database.
            self._router.publish_if_new()
            self._telemetry.report((), (), database_reachable=self.database.reachable, acting=False)
            return BUSY_SECONDS
        self._downloads.retry(self._ledger.sources)
        world = self._look()
        decided = plan(world, time.monotonic(), self._limits)
        self._router.publish(decided.versions, decided.routes)
        self._ledger.remember(decided.memory)
        self._act(decided)
        self.database.observe(decided.observed)
        self._telemetry.report(self._ledger.desired, decided.observed, database_reachable=self.database.reachable)
        self._list_targets()
        self._forget_old_models(decided)
        moving = decided.fetch or decided.start or decided.memory.draining or self.fleet.is_removing
        starting = any(seen.state not in ("serving", "failed") for seen in decided.observed)
        return BUSY_SECONDS if moving or starting else self._settings.tick_seconds

    def stop(self) -> None:
        """End. The replicas go too if the agent goes for good; a restarted agent finds them and takes over."""
        if self.fleet.supervisor.spec(self._settings.process_name) is None:
            self.fleet.remove_all(timeout=3)
        self.database.stop(timeout=0.5)

    def _reconsider(self, pool: DesiredPool) -> None:
        """Somebody asked for this version (again): what was said of its files before may not hold any more.

        Files that are here are looked at again, and fetched anew if they aren't what they were.
        """
        self._downloads.forget((pool.model, pool.version))

    def _look(self) -> World:
        served = {(model, one.version) for (model, _), one in self._ledger.memory.serving.items()}
        active = self._router.active_requests() if self._ledger.memory.draining else None
        return World(
            self._ledger.desired, self.fleet.look(served, active), self._downloads.states(), self._ledger.memory
        )

    def _act(self, decided: Plan) -> None:
        for key in decided.fetch:
            if source := self._ledger.sources.get(key):
                self._downloads.begin(ModelVersion(*key, source=source))
        for name in decided.remove:
            self.fleet.remove(name)
        for new in decided.start:
            self.fleet.start(new)

    def _list_targets(self) -> None:
        if self._settings.metrics_targets_file is None:
            return
        write_targets(self._settings.metrics_targets_file, self.fleet.specs(), self._ledger.pools())

    def _forget_old_models(self, decided: Plan) -> None:
        """After every download, once all is quiet."""
        if decided.fetch:
            self._downloaded = True
        elif self._downloaded and all(seen.state in ("serving", "failed") for seen in decided.observed):
            self._downloaded = False
            self._downloads.store.forget_all_but(
                {ModelVersion(*key, source=source) for key, source in self._ledger.sources.items()}
            )

    def _folder_of(self, key: VersionKey) -> Path | None:
        source = self._ledger.sources.get(key)
        return self._downloads.store.path(ModelVersion(*key, source=source)) if source else None

    def _registry(self) -> Registry:
        from modelyard.registry.mlflow import MlflowRegistry  # httpx is memory that an idle agent doesn't need

        tracking = self._settings.tracking
        return MlflowRegistry.connect(tracking.url, tracking.username, tracking.password_file)
