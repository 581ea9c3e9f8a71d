"""One step of the agent: look, plan, publish, act, report."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from modelyard.registry.versions import ModelVersion
from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.downloads import Downloads
from modelyard.serving.fleet import Fleet
from modelyard.serving.model_store import ModelStore, Registry
from modelyard.serving.plan import plan
from modelyard.serving.pools import DesiredPool, HistoryEntry, Pool
from modelyard.serving.router import Router
from modelyard.serving.saved import Saved
from modelyard.serving.settings import AgentSettings
from modelyard.serving.telemetry import Telemetry, write_targets
from modelyard.serving.world import Limits, Memory, Plan, PoolKey, VersionKey, World

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
        self._file = settings.folder / "agent-state.json"
        self._saved = Saved.read(self._file)
        self._memory: Memory = self._saved.memory
        self._sources: dict[VersionKey, str] = self._saved.sources
        self._live = self._saved.live
        self._desired = self._saved.desired or ()
        self._knows = self._saved.desired is not None
        self._downloaded = False
        self.wake = threading.Event()
        self.database = DatabaseLink(settings.database, self.wake.set)
        self.database.record(self._saved.unwritten)
        store = ModelStore(settings.models_folder, self._registry)
        store.sweep()
        self._downloads = Downloads(store, self.wake.set)
        self._router = Router(settings.router)
        self.fleet = Fleet(settings, self._folder_of)

    def step(self) -> float:
        """Do what there is to do now; returns the seconds until it makes sense to look again."""
        self._take_desired()
        if not self._knows:
            # Nothing may be taken for unwanted yet, but Envoy and `/health` need not wait for the database.
            self._router.publish_if_new()
            self._telemetry.report((), (), database_reachable=self.database.reachable)
            return BUSY_SECONDS
        self._downloads.retry(self._sources)
        world = self._look()
        decided = plan(world, time.monotonic(), self._limits)
        self._router.publish(decided.versions, decided.routes)
        self._remember(decided)
        self._act(decided)
        self.database.observe(decided.observed)
        self._telemetry.report(self._desired, decided.observed, database_reachable=self.database.reachable)
        self._list_targets(decided)
        self._forget_old_models(decided)
        moving = decided.fetch or decided.start or decided.memory.draining or self.fleet.is_removing
        starting = any(seen.state not in ("serving", "failed") for seen in decided.observed)
        return BUSY_SECONDS if moving or starting else self._settings.tick_seconds

    def stop(self) -> None:
        """End. The replicas go too if the agent goes for good; a restarted agent finds them and takes over."""
        if self.fleet.supervisor.spec(self._settings.process_name) is None:
            self.fleet.remove_all(timeout=3)
        self.database.stop(timeout=0.5)

    def _take_desired(self) -> None:
        desired = self.database.desired
        if desired is None or (self._knows and desired == self._desired):
            return
        self._knows = True
        known = {pool.key: pool for pool in self._desired}
        for pool in desired:
            before = known.get(pool.key)
            if before is None or before.generation != pool.generation:
                log.info("%s of %s should be version %d", pool.pool, pool.model, pool.version)
                self._reconsider(pool)
        self._desired = desired

    def _reconsider(self, pool: DesiredPool) -> None:
        """Somebody asked for this version (again): what was said of its files before may not hold any more.

        Files that are here are looked at again, and fetched anew if they aren't what they were.
        """
        key = (pool.model, pool.version)
        self._downloads.forget(key)
        self._sources[key] = pool.source

    def _look(self) -> World:
        served = {(model, one.version) for (model, _), one in self._memory.serving.items()}
        active = self._router.active_requests() if self._memory.draining else None
        return World(self._desired, self.fleet.look(served, active), self._downloads.states(), self._memory)

    def _remember(self, decided: Plan) -> None:
        self._memory = decided.memory
        self._record_history()
        wanted = {(pool.model, pool.version) for pool in self._desired}
        wanted |= {(model, one.version) for (model, _), one in self._memory.serving.items()}
        self._sources = {key: source for key, source in self._sources.items() if key in wanted}
        saved = Saved.of(self._desired, self._memory, self._sources, self._live, self.database.unwritten)
        if saved != self._saved:
            saved.write(self._file)
            self._saved = saved

    def _record_history(self) -> None:
        weights = shares_of({pool.key: pool.weight for pool in self._desired if pool.key in self._memory.serving})
        live = {key: (one.version, weights.get(key, 0)) for key, one in self._memory.serving.items()}
        now = datetime.now(UTC)
        changes = [HistoryEntry(now, *key, *live[key]) for key in live if self._live.get(key) != live[key]]
        changes += [HistoryEntry(now, *key, None, 0) for key in self._live if key not in live]
        if changes:
            self.database.record(tuple(changes))
        self._live = live

    def _act(self, decided: Plan) -> None:
        for key in decided.fetch:
            if source := self._sources.get(key):
                self._downloads.begin(ModelVersion(*key, source=source))
        for name in decided.remove:
            self.fleet.remove(name)
        for new in decided.start:
            self.fleet.start(new)

    def _list_targets(self, decided: Plan) -> None:
        if self._settings.metrics_targets_file is None:
            return
        pools: dict[VersionKey, Pool] = {}
        for pool in reversed(self._desired):
            pools[pool.model, pool.version] = pool.pool
        for (model, name), one in decided.memory.serving.items():
            pools[model, one.version] = name
        write_targets(self._settings.metrics_targets_file, self.fleet.specs(), pools)

    def _forget_old_models(self, decided: Plan) -> None:
        """After every download, once all is quiet."""
        if decided.fetch:
            self._downloaded = True
        elif self._downloaded and all(seen.state in ("serving", "failed") for seen in decided.observed):
            self._downloaded = False
            self._downloads.store.forget_all_but(
                {ModelVersion(*key, source=source) for key, source in self._sources.items()}
            )

    def _folder_of(self, key: VersionKey) -> Path | None:
        source = self._sources.get(key)
        return self._downloads.store.path(ModelVersion(*key, source=source)) if source else None

    def _registry(self) -> Registry:
        from modelyard.registry.mlflow import MlflowRegistry  # httpx is memory that an idle agent doesn't need

        tracking = self._settings.tracking
        return MlflowRegistry.connect(tracking.url, tracking.username, tracking.password_file)


def shares_of(weights: Mapping[PoolKey, int]) -> dict[PoolKey, int]:
    """What percentage each pool gets while those are the only ones that requests go to."""
    total: Counter[str] = Counter()
    for (model, _), weight in weights.items():
        total[model] += weight
    return {key: round(100 * weight / total[key[0]]) if total[key[0]] else 100 for key, weight in weights.items()}
