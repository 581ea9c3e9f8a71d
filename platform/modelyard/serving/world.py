"""What a plan is made from, and what it says: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from modelyard.serving.clusters import VersionEndpoints
from modelyard.serving.pools import DesiredPool, ObservedPool, Pool
from modelyard.serving.routes import ModelRoute

PoolKey = tuple[str, Pool]
VersionKey = tuple[str, int]


@dataclass(frozen=True)
class Limits:
    """In seconds.

    Attributes:
        ready: A replica that isn't ready by then has failed.
        drain: A draining replica is removed after that, whatever it is doing,
        settle: and not before that: requests that were on their way must get a chance to arrive.
    """

    ready: float = 120
    drain: float = 30
    settle: float = 1


@dataclass(frozen=True)
class Replica:
    """One model-server process, as seen just now.

    Attributes:
        since: When it was first seen.
        starts: How often the supervisor has started it.
        current: Started with the settings that one would be started with now.
        active: Requests in progress, if known.
        removing: On its way out; takes up its name and nothing else.
        refuses: It was started again after it had said that it can't load its model.
        log: The last lines it wrote, if it does not get ready.
        grpc_port: Where it answers over gRPC, if it does.
        trouble: What keeps it from starting, if that is known.
    """

    name: str
    model: str
    version: int
    index: int
    port: int
    since: float
    ready: bool = False
    starts: int = 1
    current: bool = True
    active: int | None = None
    removing: bool = False
    refuses: bool = False
    log: str = ""
    grpc_port: int | None = None
    trouble: str = ""

    @property
    def key(self) -> VersionKey:
        return self.model, self.version


@dataclass(frozen=True)
class Files:
    """How far the files of a model version have got (a version without such an entry was not asked for yet)."""

    state: Literal["here", "coming", "refused"]
    message: str = ""


@dataclass(frozen=True)
class Serving:
    """What a pool's requests go to, and with how many replicas that was asked for."""

    version: int
    replicas: int


@dataclass(frozen=True)
class Failure:
    """Why a model version can't be served, and the latest generation that this answers."""

    generation: int
    message: str


@dataclass(frozen=True)
class Memory:
    """What one step leaves for the next."""

    serving: Mapping[PoolKey, Serving] = field(default_factory=dict)
    failures: Mapping[VersionKey, Failure] = field(default_factory=dict)
    draining: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """Everything a plan depends on, except the time."""

    desired: tuple[DesiredPool, ...]
    replicas: tuple[Replica, ...]
    files: Mapping[VersionKey, Files]
    memory: Memory


@dataclass(frozen=True)
class NewReplica:
    model: str
    version: int
    index: int


@dataclass(frozen=True)
class Plan:
    """One step.

    Attributes:
        fetch: Model versions whose files are needed.
        start: Replicas to start.
        remove: Names of replicas to stop.
        routes: How requests are shared,
        versions: and between which replicas.
        observed: What to report about every desired pool.
        memory: For the next step, once this one's routes are published.
    """

    fetch: tuple[VersionKey, ...]
    start: tuple[NewReplica, ...]
    remove: tuple[str, ...]
    routes: tuple[ModelRoute, ...]
    versions: tuple[VersionEndpoints, ...]
    observed: tuple[ObservedPool, ...]
    memory: Memory
