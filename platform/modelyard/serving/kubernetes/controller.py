"""One step of the agent in a cluster: look, plan, route, apply, report."""

import logging
import threading
import time
from collections.abc import Callable

from modelyard.errors import ModelyardError
from modelyard.kube.api import Api, Conflict, Document
from modelyard.kube.lease import Lease
from modelyard.kube.watched import Watched
from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.kubernetes import front, pods, published
from modelyard.serving.kubernetes.applied import Applied
from modelyard.serving.kubernetes.documents import owned, source_of, version_objects, version_of
from modelyard.serving.kubernetes.names import MODEL, of_version
from modelyard.serving.kubernetes.plan import ClusterPlan, plan
from modelyard.serving.kubernetes.routes import routes
from modelyard.serving.kubernetes.settings import ControllerSettings
from modelyard.serving.kubernetes.store import SavedObject
from modelyard.serving.ledger import Ledger
from modelyard.serving.loop import Ended
from modelyard.serving.pools import DesiredPool
from modelyard.serving.routes import ModelRoute
from modelyard.serving.telemetry import Telemetry
from modelyard.serving.world import Limits, VersionKey, World

log = logging.getLogger(__name__)
BUSY_SECONDS = 0.5
STATE = "serving-agent-state"


class Controller:
    """Makes what is served what should be served, a step at a time, while it holds the lease.

    Args:
        settings: The agent's.
        api: With the agent's rights.
        lease: Who acts; made here, of what to call when that changes.
        telemetry: What to report to.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        api: Api,
        lease: Callable[[Callable[[], None]], Lease],
        telemetry: Telemetry,
    ) -> None:
        self._settings, self._api, self._telemetry = settings, api, telemetry
        self._limits = Limits(ready=settings.ready_seconds, settle=settings.settle_seconds)
        self.wake = threading.Event()
        self.lease = lease(self.wake.set)
        self.database = DatabaseLink(settings.database, self.wake.set)
        self.known = front.Known()
        self.targets: list[Document] | None = None
        kinds = ("Pod", settings.workload, "HTTPRoute")
        self._watched = {kind: Watched(api, kind, settings.labels, self.wake.set) for kind in kinds}
        self._applied = Applied(api, self._check)
        self._sightings = pods.Sightings()
        self._ledger: Ledger | None = None
        self._owner: Document = {}

    def start(self) -> None:
        self.database.start()
        for watched in self._watched.values():
            watched.start()
        self.lease.start()

    def stop(self) -> None:
        """End; everything that was made goes on without this agent."""
        self.database.stop(timeout=2)
        self.lease.stop()

    def step(self) -> float:
        """Do what there is to do now; returns the seconds until it makes sense to look again.

        Raises:
            Ended: somebody else does it now.
        """
        if not self.lease.is_held:
            if self._ledger is not None:
                raise Ended("another agent may hold the lease now; this one is started anew")
            return self._wait()
        ledger = self._ledger or self._begin()
        ledger.take_desired()
        found = {kind: watched.found for kind, watched in self._watched.items()}
        if not ledger.knows or any(one is None for one in found.values()):
            return self._wait()
        there = {kind: one or {} for kind, one in found.items()}
        if ledger.is_blank:
            self._recall(ledger, there)
        decided = self._decide(ledger, there)
        self._publish(decided.routes, there["HTTPRoute"])
        self._check()
        try:
            ledger.remember(decided.memory)
        except Conflict as conflict:
            raise Ended("another agent has acted in the meantime; this one is started anew") from conflict
        self._act(ledger, decided, there[self._settings.workload])
        self._check()
        self.database.observe(decided.observed)
        self._telemetry.report(ledger.desired, decided.observed, database_reachable=self.database.reachable)
        self.targets = front.targets(there["Pod"].values(), ledger.pools(), self._settings.ports)
        starting = any(seen.state not in ("serving", "failed") for seen in decided.observed)
        return BUSY_SECONDS if starting or decided.memory.draining else self._settings.tick_seconds

    def _check(self) -> None:
        """Before each write: an agent that was frozen in the middle of a step may have been replaced.

        Raises:
            Ended: it may.
        """
        if not self.lease.is_held:
            raise Ended("the lease was lost in the middle of a step; this agent is started anew")

    def _wait(self) -> float:
        """Another agent acts, or too little is known yet: still, clients get answers, as the routes there say."""
        self._telemetry.report((), (), database_reachable=self.database.reachable, acting=False)
        self._sightings.replicas((self._watched["Pod"].found or {}).values())
        models = published.models(self._watched["HTTPRoute"].found or {})
        if models is None and (desired := self.database.desired) is not None:
            models = tuple(ModelRoute(name, (), published.ASK_AGAIN) for name in _models(desired))
        if models is not None:
            self.known = front.Known(models)
        return self._settings.tick_seconds

    def _begin(self) -> Ledger:
        """Go on where the last agent that held the lease ended."""
        owner = self._api.get("ConfigMap", self._settings.owner)
        if owner is None:
            raise ModelyardError(
                f"the ConfigMap {self._settings.owner} is gone, which all that this agent makes belongs to",
                fix="`modelyard up` makes it anew",
            )
        self._owner = owner
        store = SavedObject(self._api, STATE, self._settings.labels, owner)
        self._ledger = Ledger(self.database, store, lambda pool: None)
        return self._ledger

    def _recall(self, ledger: Ledger, there: dict[str, dict[str, Document]]) -> None:
        """Where the memory is lost, routes and workloads tell what is served: a good version must not go."""
        workloads = {version_of(one): one for one in there[self._settings.workload].values() if _is_a_model(one)}
        serving = published.serving(published.models(there["HTTPRoute"]) or (), ledger.desired, workloads)
        ledger.recall(serving, {key: source_of(one) for key, one in workloads.items()})

    def _decide(self, ledger: Ledger, there: dict[str, dict[str, Document]]) -> ClusterPlan:
        replicas = self._sightings.replicas(there["Pod"].values())
        world = World(ledger.desired, replicas, {}, ledger.memory)
        versions = {version_of(one) for one in there[self._settings.workload].values() if _is_a_model(one)}
        return plan(world, versions, time.monotonic(), self._limits)

    def _publish(self, models: tuple[ModelRoute, ...], there: dict[str, Document]) -> None:
        wanted = {document["metadata"]["name"]: document for document in routes(models, self._settings)}
        for document in wanted.values():
            self._applied.ensure(owned(document, self._owner), there)
        for name in there.keys() - wanted.keys():
            self._applied.delete("HTTPRoute", name)
        self.known = front.Known(models)

    def _act(self, ledger: Ledger, decided: ClusterPlan, there: dict[str, Document]) -> None:
        for key, replicas in decided.replicas.items():
            if source := ledger.sources.get(key):
                self._have(key, source, replicas, there)
        for key in decided.remove:
            self._applied.delete(self._settings.workload, of_version(*key))

    def _have(self, key: VersionKey, source: str, replicas: int, there: dict[str, Document]) -> None:
        """Have a version's objects; the first owns the others."""
        workload = there.get(of_version(*key))
        running = workload["spec"].get("replicas") if workload else None
        first, *others = version_objects(self._settings, key, source, replicas=replicas, running=running)
        self._applied.ensure(owned(first, self._owner), there)
        if workload:
            for document in others:
                self._applied.ensure(owned(document, workload))


def _is_a_model(document: Document) -> bool:
    return MODEL in document["metadata"].get("annotations", {})


def _models(desired: tuple[DesiredPool, ...]) -> list[str]:
    return sorted({pool.model for pool in desired})
