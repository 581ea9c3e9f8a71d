"""What an agent knows and has done: what should be served, what is, and what was, kept when it or the database dies."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.pools import DesiredPool, HistoryEntry, Pool
from modelyard.serving.saved import Saved
from modelyard.serving.world import Memory, PoolKey, Serving, VersionKey

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where what is known is kept."""

    def read(self) -> Saved:
        """What was written last."""

    def write(self, saved: Saved) -> None:
        """Keep it, in one step."""

    def is_lost(self) -> bool:
        """Whether what was written last is known to be gone."""


class Ledger:
    """What is known, from the database and from the last step.

    Args:
        database: Says what should be served, and is told what is.
        store: Keeps the rest.
        reconsider: Told of each pool that somebody asked for (again).
    """

    def __init__(self, database: DatabaseLink, store: Store, reconsider: Callable[[DesiredPool], None]) -> None:
        self._database, self._store, self._reconsider = database, store, reconsider
        self._saved = store.read()
        self.memory: Memory = self._saved.memory
        self.sources: dict[VersionKey, str] = self._saved.sources
        self.desired: tuple[DesiredPool, ...] = self._saved.desired or ()
        self.knows = self._saved.desired is not None
        self._live = self._saved.live
        database.record(self._saved.unwritten)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is remembered: there was no agent before this one, or what it knew is lost."""
        return self._saved.desired is None

    def recall(self, serving: Mapping[PoolKey, Serving], sources: Mapping[VersionKey, str]) -> None:
        """Go on from what was found to be served, where nothing is remembered.

        Args:
            serving: What each pool's requests go to.
            sources: Where the files of these versions are.
        """
        if serving:
            found = ", ".join(f"version {one.version} of {model}" for (model, _), one in serving.items())
            log.warning("nothing is remembered; going on from what is served: %s", found)
        self.memory = Memory(serving=dict(serving))
        self.sources = {**sources, **self.sources}

    def take_desired(self) -> None:
        """Read what should be served, if that is known and new."""
        desired = self._database.desired
        if desired is None or (self.knows and desired == self.desired):
            return
        self.knows = True
        known = {pool.key: pool for pool in self.desired}
        for pool in desired:
            before = known.get(pool.key)
            if before is None or before.generation != pool.generation:
                log.info("%s of %s should be version %d", pool.pool, pool.model, pool.version)
                self.sources[pool.model, pool.version] = pool.source
                self._reconsider(pool)
        self.desired = desired

    def remember(self, memory: Memory) -> None:
        """Keep what a plan leaves for the next, and the history of what requests go to."""
        self.memory = memory
        self._record_history()
        wanted = {(pool.model, pool.version) for pool in self.desired}
        wanted |= {(model, one.version) for (model, _), one in memory.serving.items()}
        self.sources = {key: source for key, source in self.sources.items() if key in wanted}
        saved = Saved.of(self.desired, memory, self.sources, self._live, self._database.unwritten)
        if saved != self._saved or self._store.is_lost():
            self._store.write(saved)
            self._saved = saved

    def pools(self) -> dict[VersionKey, Pool]:
        """The pool that each version is in: that which it serves, or should."""
        pools: dict[VersionKey, Pool] = {(pool.model, pool.version): pool.pool for pool in reversed(self.desired)}
        return pools | {(model, one.version): name for (model, name), one in self.memory.serving.items()}

    def _record_history(self) -> None:
        weights = shares_of({pool.key: pool.weight for pool in self.desired if pool.key in self.memory.serving})
        live = {key: (one.version, weights.get(key, 0)) for key, one in self.memory.serving.items()}
        now = datetime.now(UTC)
        changes = [HistoryEntry(now, *key, *live[key]) for key in live if self._live.get(key) != live[key]]
        changes += [HistoryEntry(now, *key, None, 0) for key in self._live if key not in live]
        if changes:
            self._database.record(tuple(changes))
        self._live = live


def shares_of(weights: Mapping[PoolKey, int]) -> dict[PoolKey, int]:
    """What percentage each pool gets while those are the only ones that requests go to."""
    total: Counter[str] = Counter()
    for (model, _), weight in weights.items():
        total[model] += weight
    return {key: round(100 * weight / total[key[0]]) if total[key[0]] else 100 for key, weight in weights.items()}
