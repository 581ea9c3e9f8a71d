"""What the agent keeps on disk, to go on with when it is started again or the database is down."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard.processes.files import write_private
from modelyard.serving.pools import DesiredPool, HistoryEntry, Pool
from modelyard.serving.world import Failure, Memory, PoolKey, Serving, VersionKey

log = logging.getLogger(__name__)


class _Serving(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    pool: Pool
    version: int
    replicas: int
    source: str
    weight: int


class _Failure(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    version: int
    generation: int
    message: str


class Saved(BaseModel):
    """The agent's memory.

    Attributes:
        desired: What should be served, as last read from the database; None: never read.
        serving: What requests go to.
        failed: Versions that could not be served.
        unwritten: History that the database doesn't have yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    desired: tuple[DesiredPool, ...] | None = None
    serving: tuple[_Serving, ...] = ()
    failed: tuple[_Failure, ...] = ()
    unwritten: tuple[HistoryEntry, ...] = ()

    @classmethod
    def of(
        cls,
        desired: tuple[DesiredPool, ...] | None,
        memory: Memory,
        sources: Mapping[VersionKey, str],
        live: Mapping[PoolKey, tuple[int, int]],
        unwritten: tuple[HistoryEntry, ...],
    ) -> "Saved":
        serving = tuple(
            _Serving(
                model=model,
                pool=pool,
                version=one.version,
                replicas=one.replicas,
                source=sources.get((model, one.version), ""),
                weight=live[model, pool][1],
            )
            for (model, pool), one in sorted(memory.serving.items())
        )
        failed = tuple(
            _Failure(model=model, version=version, generation=one.generation, message=one.message)
            for (model, version), one in sorted(memory.failures.items())
        )
        return cls(desired=desired, serving=serving, failed=failed, unwritten=unwritten)

    @property
    def memory(self) -> Memory:
        """For the first plan."""
        return Memory(
            serving={(one.model, one.pool): Serving(one.version, one.replicas) for one in self.serving},
            failures={(one.model, one.version): Failure(one.generation, one.message) for one in self.failed},
        )

    @property
    def sources(self) -> dict[VersionKey, str]:
        """Where the files of every version that it speaks of are."""
        serving = {(one.model, one.version): one.source for one in self.serving}
        return serving | {(pool.model, pool.version): pool.source for pool in self.desired or ()}

    @property
    def live(self) -> dict[PoolKey, tuple[int, int]]:
        """Version and percentage of every pool that requests go to."""
        return {(one.model, one.pool): (one.version, one.weight) for one in self.serving}

    @classmethod
    def parse(cls, text: str | bytes | None, where: object) -> "Saved":
        """What was written; something damaged counts as nothing.

        Args:
            text: None: there is nothing yet.
            where: It was found, for the log.
        """
        try:
            return cls() if text is None else cls.model_validate_json(text)
        except ValidationError as error:
            log.error("%s is damaged and will be written anew: %s", where, error)
            return cls()


class SavedFile:
    """A memory in a file.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Saved:
        try:
            return Saved.parse(self._path.read_bytes(), self._path)
        except FileNotFoundError:
            return Saved()

    def write(self, saved: Saved) -> None:
        write_private(self._path, saved.model_dump_json(indent=1))

    def is_lost(self) -> bool:
        return not self._path.exists()
