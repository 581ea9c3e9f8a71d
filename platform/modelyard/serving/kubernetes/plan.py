"""What the agent should do next in a cluster: a pure function of what is wanted and what is there.

Deployments see to replicas, so a step says which versions there must be, and which may go:

- Which version a pool's requests go to is decided in `decisions`, as everywhere.
- A version goes some time after the routes have left it: gateways hear of routes a moment later, and requests on their
  way must arrive. Its replicas finish what they have begun.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from modelyard.serving.decisions import decide
from modelyard.serving.kubernetes import names
from modelyard.serving.pools import ObservedPool
from modelyard.serving.routes import ModelRoute
from modelyard.serving.views import model_routes, observe
from modelyard.serving.world import Limits, Memory, VersionKey, World


@dataclass(frozen=True)
class ClusterPlan:
    """One step.

    Attributes:
        replicas: How many each version must have that there must be.
        remove: Versions that may go.
        routes: How requests are shared.
        observed: What to report about every desired pool.
        memory: For the next step, once this one's routes are published.
    """

    replicas: Mapping[VersionKey, int]
    remove: tuple[VersionKey, ...]
    routes: tuple[ModelRoute, ...]
    observed: tuple[ObservedPool, ...]
    memory: Memory


def plan(world: World, there: Set[VersionKey], now: float, limits: Limits) -> ClusterPlan:
    """The next step.

    Args:
        world: What is wanted, what is there, and what the last step left.
        there: Versions that have a Deployment.
        now: Seconds on the clock that `Replica.since` was read from.
        limits: How long things may take.
    """
    decided = decide(world, now, limits)
    staying = [replica for replica in world.replicas if not replica.removing]
    before = world.memory.draining
    leaving = {
        key: before.get(names.of_version(*key), now)
        for key in sorted(there)
        if key not in decided.needed and key not in decided.leaving
    }
    gone = tuple(key for key, since in leaving.items() if now - since >= limits.settle)
    draining = {names.of_version(*key): since for key, since in leaving.items() if key not in gone}
    observed = tuple(observe(pool, decided.serving, decided.failures, world.files, staying) for pool in world.desired)
    return ClusterPlan(
        replicas=dict(decided.needed),
        remove=gone,
        routes=model_routes(world.desired, decided.serving, staying, observed),
        observed=observed,
        memory=Memory(decided.serving, decided.failures, draining),
    )
