"""What should be served, what is, and what was: tables in the platform's `modelyard` database.

`deploy`, `undeploy` and rollouts write what should be served, each change in one transaction, and the agent is
notified of it. The agent writes what it observes, and the history of what requests went to.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import class_row

from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard.serving.connection import connect, reachable
from modelyard.serving.pools import MAX_REPLICAS, DesiredPool, HistoryEntry, ObservedPool
from modelyard.serving.settings import DatabaseSettings


class Deployments:
    """A connection to the tables of serving; not for use by several threads at once.

    Args:
        connection: In autocommit mode, to a migrated database; `open_deployments` makes one.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    # ---- what should be served

    def desired(self) -> tuple[DesiredPool, ...]:
        """Every pool that should be served, ordered by model, stable first."""
        with reachable(), self.connection.cursor(row_factory=class_row(DesiredPool)) as cursor:
            cursor.execute(
                "SELECT model, pool, version, replicas, weight, generation, source"
                " FROM serving.desired_pools ORDER BY model, pool DESC"
            )
            return tuple(cursor.fetchall())

    def deploy(self, model: str, version: int, *, source: str, replicas: int | None = None) -> DesiredPool:
        """Make a version the model's stable one. A canary stays as it is.

        Args:
            model: Its registered name.
            version: Its version.
            source: The URI of the version's files.
            replicas: Model-server processes; None: as many as now, or one.
        """
        with self._changing(model) as pools:
            before = pools.get("stable")
            count = _checked_replicas(replicas or (before.replicas if before else 1))
            weight = before.weight if before else 100
            return self._put(DesiredPool(model, "stable", version, count, weight, 0, source))

    def undeploy(self, model: str) -> None:
        """Stop serving a model, its canary too.

        Raises:
            AnswerIsNo: it isn't deployed.
        """
        with self._changing(model) as pools:
            if not pools:
                raise self._not_deployed(model)
            self.connection.execute("DELETE FROM serving.desired_pools WHERE model = %s", [model])

    def set_canary(self, model: str, version: int, *, source: str, weight: int, replicas: int = 1) -> DesiredPool:
        """Give a version a share of the requests of a model that is deployed.

        Args:
            model: Its registered name.
            version: The version to try.
            source: The URI of the version's files.
            weight: Percent of the requests, 0 to 100, once it is ready; 0 makes it ready and sends it none.
            replicas: Model-server processes.
        """
        with self._changing(model) as pools:
            if "stable" not in pools:
                raise self._not_deployed(model)
            self._put(_weighted(pools["stable"], 100 - _checked_weight(weight)), keep_generation=True)
            canary = DesiredPool(model, "canary", version, _checked_replicas(replicas), weight, 0, source)
            return self._put(canary)

    def set_weight(self, model: str, weight: int) -> None:
        """Change the canary's share of the requests; replicas are left alone.

        Args:
            model: Its registered name.
            weight: Percent, 0 to 100.
        """
        with self._changing(model) as pools:
            self._require_canary(model, pools)
            self._put(_weighted(pools["stable"], 100 - _checked_weight(weight)), keep_generation=True)
            self._put(_weighted(pools["canary"], weight), keep_generation=True)

    def promote(self, model: str) -> DesiredPool:
        """Make the canary's version the stable one, and end the canary; its replicas go on serving."""
        with self._changing(model) as pools:
            self._require_canary(model, pools)
            stable, canary = pools["stable"], pools["canary"]
            self._drop_canary(model)
            return self._put(DesiredPool(model, "stable", canary.version, stable.replicas, 100, 0, canary.source))

    def remove_canary(self, model: str) -> None:
        """Send every request to the stable version again, and end the canary."""
        with self._changing(model) as pools:
            self._require_canary(model, pools)
            self._drop_canary(model)
            self._put(_weighted(pools["stable"], 100), keep_generation=True)

    # ---- what is served

    def observe(self, pools: Iterable[ObservedPool]) -> None:
        """Replace what was observed before."""
        with reachable(), self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute("DELETE FROM serving.observed_pools")
            cursor.executemany(
                "INSERT INTO serving.observed_pools (model, pool, version, generation, ready, state, message)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [(p.model, p.pool, p.version, p.generation, p.ready, p.state, p.message) for p in pools],
            )

    def observed(self) -> tuple[ObservedPool, ...]:
        """Every pool as the agent last saw it."""
        with reachable(), self.connection.cursor(row_factory=class_row(ObservedPool)) as cursor:
            cursor.execute(
                "SELECT model, pool, version, generation, ready, state, message"
                " FROM serving.observed_pools ORDER BY model, pool DESC"
            )
            return tuple(cursor.fetchall())

    # ---- what was served

    def record(self, entries: Sequence[HistoryEntry]) -> None:
        """Add to the history; entries that it has already are left out."""
        with reachable(), self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO serving.history (at, model, pool, version, weight) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (model, pool, at) DO NOTHING",
                [(entry.at, entry.model, entry.pool, entry.version, entry.weight) for entry in entries],
            )

    def history(self, model: str | None = None, *, limit: int = 1000) -> tuple[HistoryEntry, ...]:
        """What requests went to, the latest change first."""
        return self._entries(
            "SELECT at, model, pool, version, weight FROM serving.history"
            " WHERE %(model)s::text IS NULL OR model = %(model)s ORDER BY at DESC, id DESC LIMIT %(limit)s",
            {"model": model, "limit": limit},
        )

    def live_at(self, moment: datetime, model: str | None = None) -> tuple[HistoryEntry, ...]:
        """What requests went to at a moment: for each pool that was live, the change that made it so.

        Args:
            moment: With a time zone.
            model: Only this one.
        """
        return self._entries(
            "SELECT at, model, pool, version, weight FROM (SELECT DISTINCT ON (model, pool) * FROM serving.history"
            " WHERE at <= %(moment)s AND (%(model)s::text IS NULL OR model = %(model)s)"
            " ORDER BY model, pool, at DESC, id DESC) AS latest"
            " WHERE version IS NOT NULL ORDER BY model, pool DESC",
            {"model": model, "moment": moment},
        )

    # ---- the steps of these

    @contextmanager
    def _changing(self, model: str) -> Iterator[dict[str, DesiredPool]]:
        """One transaction at a time per model; yields its pools as they are."""
        with reachable(), self.connection.transaction():
            self.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"serving/{model}"])
            yield {pool.pool: pool for pool in self.desired() if pool.model == model}

    def _put(self, pool: DesiredPool, *, keep_generation: bool = False) -> DesiredPool:
        values = {**vars(pool), "generation": pool.generation if keep_generation else None}
        with self.connection.cursor(row_factory=class_row(DesiredPool)) as cursor:
            cursor.execute(
                "INSERT INTO serving.desired_pools (model, pool, version, replicas, weight, generation, source)"
                " VALUES (%(model)s, %(pool)s, %(version)s,"
                " %(replicas)s, %(weight)s, coalesce(%(generation)s, nextval('serving.generations')), %(source)s)"
                " ON CONFLICT (model, pool) DO UPDATE SET version = excluded.version, replicas = excluded.replicas,"
                " weight = excluded.weight, generation = excluded.generation, source = excluded.source,"
                " changed_at = now() RETURNING model, pool, version, replicas, weight, generation, source",
                values,
            )
            (row,) = cursor.fetchall()
        return row

    def _drop_canary(self, model: str) -> None:
        self.connection.execute("DELETE FROM serving.desired_pools WHERE model = %s AND pool = 'canary'", [model])

    def _require_canary(self, model: str, pools: dict[str, DesiredPool]) -> None:
        if "stable" not in pools:
            raise self._not_deployed(model)
        if "canary" not in pools:
            version = pools["stable"].version
            raise AnswerIsNo(f"model {model!r} has no canary: version {version} gets all requests", fix="set one first")

    def _not_deployed(self, model: str) -> AnswerIsNo:
        names = sorted({pool.model for pool in self.desired()})
        known = f"deployed models: {', '.join(names)}" if names else "nothing is deployed: `modelyard deploy NAME`"
        return AnswerIsNo(f"model {model!r} is not deployed", fix=known)

    def _entries(self, query: LiteralString, values: dict[str, object]) -> tuple[HistoryEntry, ...]:
        with reachable(), self.connection.cursor(row_factory=class_row(HistoryEntry)) as cursor:
            cursor.execute(query, values)
            return tuple(cursor.fetchall())


def open_deployments(settings: DatabaseSettings, *, timeout: int = 5) -> Deployments:
    """Connect, and bring the tables up to date: see `connection.connect`."""
    return Deployments(connect(settings, timeout=timeout))


def _weighted(pool: DesiredPool, weight: int) -> DesiredPool:
    return DesiredPool(**{**vars(pool), "weight": weight})


def _checked_weight(weight: int) -> int:
    if not 0 <= weight <= 100:
        raise ModelyardError(f"a canary's weight is a percentage, not {weight}", fix="give a number from 0 to 100")
    return weight


def _checked_replicas(replicas: int) -> int:
    if not 1 <= replicas <= MAX_REPLICAS:
        raise ModelyardError(f"{replicas} replicas are not possible", fix=f"give a number from 1 to {MAX_REPLICAS}")
    return replicas
