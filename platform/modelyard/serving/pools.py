"""The words of serving: a model has a stable pool and may have a canary pool, each on one version."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

Pool = Literal["stable", "canary"]
PoolState = Literal["waiting", "downloading", "starting", "serving", "degraded", "failed"]
POOLS: tuple[Pool, ...] = get_args(Pool)
MAX_REPLICAS = 64


@dataclass(frozen=True)
class DesiredPool:
    """What one pool of a model should be.

    Attributes:
        version: The model version, as the registry numbers it.
        replicas: Model-server processes.
        weight: Percent of the model's requests; the pools of one model add up to 100.
        generation: Grows with every change of version or replicas; a failure belongs to one generation.
        source: Where the version's files are: a folder of the tracking server's artifacts, as a URI.
    """

    model: str
    pool: Pool
    version: int
    replicas: int
    weight: int
    generation: int
    source: str = ""

    @property
    def key(self) -> tuple[str, Pool]:
        return self.model, self.pool


@dataclass(frozen=True)
class ObservedPool:
    """What one pool of a model is, as the agent last saw it.

    Attributes:
        version: The version that requests go to now; None: none yet.
        generation: The generation of the desired pool that this is the answer to.
        ready: Replicas of the desired version that are ready.
        message: Why, for a person; of a failure, the last lines of the replica's log.
    """

    model: str
    pool: Pool
    version: int | None
    generation: int
    ready: int
    state: PoolState
    message: str = ""


@dataclass(frozen=True)
class HistoryEntry:
    """From `at` on, a pool had this version and weight; a version of None ended it."""

    at: datetime
    model: str
    pool: Pool
    version: int | None
    weight: int
