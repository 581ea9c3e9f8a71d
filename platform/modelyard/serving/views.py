"""What a plan means for the router, and for whoever asks how a deployment is getting on."""

from collections import Counter
from collections.abc import Mapping, Set

from modelyard.serving.clusters import Endpoint, VersionEndpoints
from modelyard.serving.pools import DesiredPool, ObservedPool, PoolState
from modelyard.serving.routes import ModelRoute
from modelyard.serving.world import Failure, Files, PoolKey, Replica, Serving, VersionKey


def version_endpoints(
    needed: Set[VersionKey], replicas: list[Replica], draining: Mapping[str, float]
) -> tuple[VersionEndpoints, ...]:
    """The clusters there must be, with every replica that is ready."""
    keys = sorted(needed | {replica.key for replica in replicas})
    return tuple(
        VersionEndpoints(
            *key,
            tuple(Endpoint(r.port, r.name in draining, r.grpc_port) for r in replicas if r.key == key and r.ready),
        )
        for key in keys
    )


def model_routes(
    desired: tuple[DesiredPool, ...],
    serving: Mapping[PoolKey, Serving],
    staying: list[Replica],
    observed: tuple[ObservedPool, ...],
) -> tuple[ModelRoute, ...]:
    """How each model's requests are shared: by weight, among the pools that have a ready replica."""
    ready = {replica.key for replica in staying if replica.ready}
    routes = []
    for model in sorted({pool.model for pool in desired}):
        shares: Counter[int] = Counter()
        pools = sorted((pool for pool in desired if pool.model == model), key=lambda pool: pool.pool, reverse=True)
        for pool in pools:
            one = serving.get(pool.key)
            if one and (model, one.version) in ready:
                shares[one.version] += pool.weight
        if shares and not shares.total():
            shares[next(iter(shares))] = 100  # the pool that had the requests is away: the other one answers
        reasons = [
            f"version {pool.version} is {seen.state}"
            for pool, seen in zip(desired, observed, strict=True)
            if pool.model == model
        ]
        routes.append(ModelRoute(model, tuple(shares.items()), "" if shares else ", ".join(reasons)))
    return tuple(routes)


def observe(
    pool: DesiredPool,
    serving: Mapping[PoolKey, Serving],
    failures: Mapping[VersionKey, Failure],
    files: Mapping[VersionKey, Files],
    staying: list[Replica],
) -> ObservedPool:
    """How a pool is getting on."""
    key, one = (pool.model, pool.version), serving.get(pool.key)
    mine = [replica for replica in staying if replica.key == key]
    ready = sum(replica.ready for replica in mine)
    failure = failures.get(key)
    state: PoolState = "failed"
    message = failure.message if failure else ""
    if failure is None:
        state, message = _state(pool, one, files.get(key), mine)
    return ObservedPool(pool.model, pool.pool, one.version if one else None, pool.generation, ready, state, message)


def _state(
    pool: DesiredPool,
    one: Serving | None,
    files: Files | None,
    mine: list[Replica],
) -> tuple[PoolState, str]:
    ready = sum(replica.ready for replica in mine)
    if one and one.version == pool.version and ready >= pool.replicas:
        return "serving", ""
    if not mine and files and files.state != "here":
        return "downloading", files.message
    if not mine:
        return "waiting", ""
    trouble = next((f": {replica.trouble}" for replica in mine if replica.trouble and not replica.ready), "")
    message = f"{ready} of {pool.replicas} replicas ready{trouble}"
    crashed = any(replica.starts > 1 for replica in mine if not replica.ready)
    return ("degraded" if crashed else "starting"), message
