"""What the serving agent should do next: a pure function of what is wanted and what is there.

`plan` is asked again after every change, so each plan is one step. What makes the steps safe:

- A pool moves to a new version only when all replicas of that version are ready (one is enough if the pool has
  nothing that answers), and stays where it is when they can't be made ready.
- A replica is drained only in a later step than the one that took its version out of the routes.
- A failure belongs to the generation that caused it: it is not tried again until somebody deploys again.
"""

from collections import Counter
from collections.abc import Mapping

from modelyard.serving.pools import DesiredPool
from modelyard.serving.views import model_routes, observe, version_endpoints
from modelyard.serving.world import (
    Failure,
    Files,
    Limits,
    Memory,
    NewReplica,
    Plan,
    PoolKey,
    Replica,
    Serving,
    VersionKey,
    World,
)

HOPELESS_STARTS = 3  # it was given two more chances, in case something else killed it


def plan(world: World, now: float, limits: Limits) -> Plan:
    """The next step.

    Args:
        world: What is wanted, what is there, and what the last step left.
        now: Seconds on the clock that `Replica.since` was read from.
        limits: How long things may take.
    """
    before = world.memory
    replicas = [replica for replica in world.replicas if not replica.removing]
    failures = _failures(world, replicas, now, limits)
    serving = _serving(world.desired, before.serving, replicas, failures, before.draining)
    needed = _needed(world.desired, serving, failures)
    leaving = _leaving(before.serving, serving)
    draining = _draining(needed, leaving, replicas, before.draining, now)
    staying = [replica for replica in replicas if replica.name not in draining]
    missing = needed - Counter(replica.key for replica in staying if replica.current)
    fetch = tuple(key for key in needed if key not in world.files)
    start = tuple(
        new for key, count in missing.items() if _are_here(key, world.files) for new in _new(key, count, world.replicas)
    )
    gone = tuple(r.name for r in replicas if r.name in draining and _is_drained(r, draining[r.name], now, limits))
    observed = tuple(observe(pool, serving, failures, world.files, staying) for pool in world.desired)
    return Plan(
        fetch=fetch,
        start=start,
        remove=gone,
        routes=model_routes(world.desired, serving, staying, observed),
        versions=version_endpoints(needed.keys() | leaving, replicas, draining),
        observed=observed,
        memory=Memory(serving, failures, {name: since for name, since in draining.items() if name not in gone}),
    )


def _failures(world: World, replicas: list[Replica], now: float, limits: Limits) -> dict[VersionKey, Failure]:
    served = {(model, serving.version) for (model, _), serving in world.memory.serving.items()}
    failures = {}
    for pool in world.desired:
        key = (pool.model, pool.version)
        known = world.memory.failures.get(key)
        if known and known.generation >= pool.generation:
            failures[key] = known
        elif key not in served and (message := _why_hopeless(key, world.files, replicas, now, limits)):
            failures[key] = Failure(pool.generation, message)
    return failures


def _why_hopeless(
    key: VersionKey, files: Mapping[VersionKey, Files], replicas: list[Replica], now: float, limits: Limits
) -> str:
    if key in files and files[key].state == "refused":
        return files[key].message
    for replica in replicas:
        if replica.key != key or replica.ready:
            continue
        if replica.refuses or replica.starts >= HOPELESS_STARTS:
            return f"{replica.name} exits instead of loading the model; its last lines:\n{replica.log}"
        if now - replica.since > limits.ready:
            return f"{replica.name} was not ready after {limits.ready:g} s; its last lines:\n{replica.log}"
    return ""


def _serving(
    desired: tuple[DesiredPool, ...],
    before: Mapping[PoolKey, Serving],
    replicas: list[Replica],
    failures: Mapping[VersionKey, Failure],
    draining: Mapping[str, float],
) -> dict[PoolKey, Serving]:
    """The version each pool's requests go to, from now on."""
    ready = Counter(replica.key for replica in replicas if replica.ready and replica.name not in draining)
    wanted: Counter[VersionKey] = Counter()
    for pool in desired:
        wanted[pool.model, pool.version] += pool.replicas
    serving = {}
    for pool in desired:
        old, key = before.get(pool.key), (pool.model, pool.version)
        answers = old is not None and ready[pool.model, old.version] > 0
        enough = wanted[key] if answers else 1
        if (old and old.version == pool.version) or (key not in failures and ready[key] >= enough):
            serving[pool.key] = Serving(pool.version, pool.replicas)
        elif old:
            serving[pool.key] = old
    return serving


def _needed(
    desired: tuple[DesiredPool, ...], serving: Mapping[PoolKey, Serving], failures: Mapping[VersionKey, Failure]
) -> Counter[VersionKey]:
    """How many replicas each model version must have: what is wanted, and what answers until that is ready."""
    needed: Counter[VersionKey] = Counter()
    for pool in desired:
        counts: Counter[VersionKey] = Counter()
        if one := serving.get(pool.key):
            counts[pool.model, one.version] = one.replicas
        if (pool.model, pool.version) not in failures:
            counts[pool.model, pool.version] = pool.replicas
        needed += counts
    return needed


def _leaving(before: Mapping[PoolKey, Serving], serving: Mapping[PoolKey, Serving]) -> set[VersionKey]:
    """The versions that a pool's requests go to until this step's routes are published."""
    return {
        (key[0], old.version)
        for key, old in before.items()
        if key not in serving or serving[key].version != old.version
    }


def _draining(
    needed: Mapping[VersionKey, int],
    leaving: set[VersionKey],
    replicas: list[Replica],
    before: Mapping[str, float],
    now: float,
) -> dict[str, float]:
    """Which replicas are in excess, and since when; the ones kept are the ready, then those not yet draining."""
    draining: dict[str, float] = {}
    for key in {replica.key for replica in replicas}:
        mine = [replica for replica in replicas if replica.key == key]
        best = sorted(
            (replica for replica in mine if replica.current),
            key=lambda replica: (not replica.ready, replica.name in before, replica.index),
        )
        kept = best[: needed.get(key, 0)]
        others = [replica for replica in mine if replica.name not in before]
        if key in leaving:
            kept += others
        elif sum(replica.ready for replica in kept) < needed.get(key, 0):
            kept += [replica for replica in others if not replica.current]
        for replica in mine:
            if replica not in kept:
                draining[replica.name] = before.get(replica.name, now)
    return draining


def _is_drained(replica: Replica, since: float, now: float, limits: Limits) -> bool:
    waited = now - since
    # One that is silent may be busy with its last request: what counts is what Envoy says is in progress.
    idle_at_once = not replica.ready and not replica.active
    return idle_at_once or waited >= limits.drain or (waited >= limits.settle and replica.active == 0)


def _are_here(key: VersionKey, files: Mapping[VersionKey, Files]) -> bool:
    return key in files and files[key].state == "here"


def _new(key: VersionKey, count: int, replicas: tuple[Replica, ...]) -> list[NewReplica]:
    taken = {replica.index for replica in replicas if replica.key == key}
    free = (index for index in range(1, len(taken) + count + 1) if index not in taken)
    return [NewReplica(*key, index=next(free)) for _ in range(count)]
