"""What should be served by which versions: the part of a plan that is the same wherever replicas run. Pure.

- A pool moves to a new version only when all replicas of that version are ready (one is enough if the pool has
  nothing that answers), and stays where it is when they can't be made ready.
- A failure belongs to the generation that caused it: it is not tried again until somebody deploys again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.serving.pools import DesiredPool
from modelyard.serving.world import Failure, Files, Limits, PoolKey, Replica, Serving, VersionKey, World

HOPELESS_STARTS = 3  # it was given two more chances, in case something else killed it


@dataclass(frozen=True)
class Decisions:
    """What follows from a world.

    Attributes:
        serving: The version that each pool's requests go to, from now on.
        failures: Why versions can't be served.
        needed: How many replicas each version must have: what is wanted, and what answers until that is ready.
        leaving: Versions that a pool's requests go to until the routes of this plan are published.
    """

    serving: Mapping[PoolKey, Serving]
    failures: Mapping[VersionKey, Failure]
    needed: Counter[VersionKey]
    leaving: frozenset[VersionKey]


def decide(world: World, now: float, limits: Limits) -> Decisions:
    """What to serve.

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
    return Decisions(serving, failures, needed, frozenset(_leaving(before.serving, serving)))


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
            why = replica.trouble or f"its last lines:\n{replica.log}"
            return f"{replica.name} was not ready after {limits.ready:g} s; {why}"
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
