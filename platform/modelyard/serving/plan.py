"""What the serving agent should do next: a pure function of what is wanted and what is there.

`plan` is asked again after every change, so each plan is one step. What makes the steps safe:

- Which version a pool's requests go to is decided in `decisions`.
- A replica is drained only in a later step than the one that took its version out of the routes.
"""

from collections import Counter
from collections.abc import Mapping, Set

from modelyard.serving.decisions import decide
from modelyard.serving.views import model_routes, observe, version_endpoints
from modelyard.serving.world import Files, Limits, Memory, NewReplica, Plan, Replica, VersionKey, World


def plan(world: World, now: float, limits: Limits) -> Plan:
    """The next step.

    Args:
        world: What is wanted, what is there, and what the last step left.
        now: Seconds on the clock that `Replica.since` was read from.
        limits: How long things may take.
    """
    before = world.memory
    replicas = [replica for replica in world.replicas if not replica.removing]
    decided = decide(world, now, limits)
    serving, failures, needed, leaving = decided.serving, decided.failures, decided.needed, decided.leaving
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


def _draining(
    needed: Mapping[VersionKey, int],
    leaving: Set[VersionKey],
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
