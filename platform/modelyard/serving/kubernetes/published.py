"""What HTTPRoutes that are there say: the inverse of `routes`, for whoever did not write them or has forgotten it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.serving.answers import MODEL_HEADER
from modelyard.serving.kubernetes import names
from modelyard.serving.kubernetes.documents import replicas_of
from modelyard.serving.kubernetes.routes import COMMON
from modelyard.serving.pools import DesiredPool
from modelyard.serving.routes import ModelRoute
from modelyard.serving.world import PoolKey, Serving, VersionKey

Document = dict[str, Any]
ASK_AGAIN = "no replica is ready"  # why is known to the agent that acts


def models(found: Mapping[str, Document]) -> tuple[ModelRoute, ...] | None:
    """How each model's requests are shared; None: nothing was ever published.

    Args:
        found: HTTPRoutes that the agent made, by name.
    """
    if COMMON not in found:
        return None
    read = (_model(route) for name, route in found.items() if name != COMMON)
    return tuple(sorted((one for one in read if one), key=lambda one: one.model))


def serving(
    models: Iterable[ModelRoute], desired: tuple[DesiredPool, ...], workloads: Mapping[VersionKey, Document]
) -> dict[PoolKey, Serving]:
    """What each pool's requests go to.

    A version that a pool should have is that pool's; what is left is what pools have that have not got theirs yet.

    Args:
        models: As routes share them.
        desired: The pools there should be.
        workloads: What sees to the pods of each version.
    """
    found: dict[PoolKey, Serving] = {}
    for model in models:
        left = [version for version, _ in model.shares]
        mine = [pool for pool in desired if pool.model == model.model]
        settled = [pool for pool in mine if pool.version in left]
        for pool in [*settled, *(pool for pool in mine if pool not in settled)]:
            if left:
                version = pool.version if pool.version in left else left[0]
                left.remove(version)
                workload = workloads.get((model.model, version))
                found[pool.key] = Serving(version, replicas_of(workload) if workload else pool.replicas)
    return found


def _model(route: Document) -> ModelRoute | None:
    """The model that a route is of, as its rule about MLflow's own path says."""
    for rule in route["spec"].get("rules", []):
        for match in rule.get("matches", []):
            named = [one["value"] for one in match.get("headers", []) if one["name"] == MODEL_HEADER]
            if named and match["path"]["value"] == "/invocations":
                return _shared(str(named[0]), rule)
    return None


def _shared(model: str, rule: Document) -> ModelRoute:
    shares = []
    for backend in rule.get("backendRefs", []):
        ending = re.search(r"-v(\d+)$", backend["name"])
        if ending and backend["name"] == names.of_version(model, int(ending[1])):
            shares.append((int(ending[1]), int(backend.get("weight", 1))))
    return ModelRoute(model, tuple(shares), "" if shares else ASK_AGAIN)
