"""What people do with the serving cluster: deploy, undeploy, ask what is served and what was."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from modelyard.descriptor import Descriptor
from modelyard.errors import AnswerIsNo, ModelyardError, Unreachable
from modelyard.processes import HttpCheck
from modelyard.processes.readiness import is_ready
from modelyard.registry.mlflow import MlflowRegistry
from modelyard.registry.versions import ModelVersion
from modelyard.serving.deployments import Deployments, open_deployments
from modelyard.serving.pools import DesiredPool, HistoryEntry, ObservedPool
from modelyard.serving.settings import DatabaseSettings

POLL_SECONDS = 0.1
NO_PROGRESS: Callable[[str], None] = lambda text: None  # noqa: E731


@dataclass(frozen=True)
class Deployment:
    """A deployment that went well.

    Attributes:
        url: Where to ask for predictions.
        seconds: How long it took.
    """

    model: str
    version: int
    replicas: int
    url: str
    seconds: float


@dataclass(frozen=True)
class DeployedModel:
    """One pool of a deployed model.

    Attributes:
        version: The version it should be.
        serving: The version that requests go to, if any.
        ready: Replicas of `version` that are ready, of `replicas`.
        weight: Percent of the model's requests.
    """

    model: str
    pool: str
    version: int
    serving: int | None
    ready: int
    replicas: int
    weight: int
    state: str
    message: str


def deploy(
    platform: Descriptor,
    reference: str,
    *,
    replicas: int | None = None,
    timeout: float = 180,
    progress: Callable[[str], None] = NO_PROGRESS,
) -> Deployment:
    """Make a version the model's stable one, and wait until requests go to it.

    Args:
        platform: Where.
        reference: NAME, NAME@ALIAS or NAME/VERSION.
        replicas: Model-server processes; None: as many as now, or one.
        timeout: Seconds to wait.
        progress: Told in words how it is getting on.

    Raises:
        AnswerIsNo: there is no such version, its files are missing, it can't be loaded, or it took too long.
        Unreachable: a part of the platform that this needs doesn't answer.
    """
    began = time.monotonic()
    model = resolve(platform, reference)
    progress(f"{model}: its files are there")
    with deployments_of(platform) as deployments:
        pool = deployments.deploy(model.name, model.version, source=model.source, replicas=replicas)
        _wait(platform, deployments, pool, timeout=timeout, progress=progress)
    url = f"{_cluster_url(platform)}/v2/models/{quote(model.name, safe='')}/infer"
    return Deployment(model.name, model.version, pool.replicas, url, round(time.monotonic() - began, 2))


def undeploy(platform: Descriptor, model: str) -> None:
    """Stop serving a model.

    Raises:
        AnswerIsNo: it isn't deployed.
    """
    with deployments_of(platform) as deployments:
        deployments.undeploy(model)


def deployed(platform: Descriptor) -> list[DeployedModel]:
    """Every pool of every deployed model."""
    with deployments_of(platform) as deployments:
        observed = {(seen.model, seen.pool): seen for seen in deployments.observed()}
        return [_deployed(pool, observed.get(pool.key)) for pool in deployments.desired()]


def history(platform: Descriptor, model: str | None = None, *, at: datetime | None = None) -> list[HistoryEntry]:
    """What requests went to: every change, the latest first, or what was live at one moment."""
    with deployments_of(platform) as deployments:
        return list(deployments.live_at(at, model) if at else deployments.history(model))


def resolve(platform: Descriptor, reference: str) -> ModelVersion:
    """The version that a reference means, if its files are there.

    Raises:
        AnswerIsNo: there is no such version, or its files are missing.
        Unreachable: the tracking server doesn't answer.
    """
    server = platform.tracking_server
    if server is None:
        raise ModelyardError(f"the stack {platform.stack} has no tracking server", fix="name the part in its settings")
    with MlflowRegistry.connect(server.url, server.username, server.password_file) as registry:
        model = registry.resolve(reference)
        registry.files(model)
    return model


def deployments_of(platform: Descriptor) -> Deployments:
    """The tables of a platform's serving cluster; whoever opens them closes them.

    Raises:
        Unreachable: the database doesn't answer.
        ModelyardError: the stack has no serving cluster, or no database for it.
    """
    _cluster_url(platform)
    database = platform.registry_database
    if database is None or "modelyard" not in database.databases:
        raise ModelyardError(
            f"the stack {platform.stack} has no registry database with a database 'modelyard'",
            fix="name the part registry_database in its settings",
        )
    known = database.databases["modelyard"]
    return open_deployments(
        DatabaseSettings(
            host=database.host,
            port=database.port,
            name=known.name,
            user=known.user,
            password_file=known.password_file,
            sslmode=database.sslmode,
            sslrootcert=database.sslrootcert,
        )
    )


def _cluster_url(platform: Descriptor) -> str:
    if platform.serving_cluster is None:
        raise ModelyardError(
            f"the stack {platform.stack} has no serving cluster", fix="name the part in its settings, then `make up`"
        )
    return platform.serving_cluster.url


def _wait(
    platform: Descriptor,
    deployments: Deployments,
    pool: DesiredPool,
    *,
    timeout: float,
    progress: Callable[[str], None],
) -> None:
    deadline, said = time.monotonic() + timeout, ""
    while True:
        seen = next((one for one in deployments.observed() if (one.model, one.pool) == pool.key), None)
        if seen and seen.generation == pool.generation:
            if seen.state == "serving":
                return
            if seen.state == "failed":
                raise _failed(pool, seen)
            text = f"{pool.model}/{pool.version}: {seen.state}" + (f", {seen.message}" if seen.message else "")
            if text != said:
                progress(said := text)
        elif seen and seen.generation > pool.generation:
            raise AnswerIsNo(
                f"{pool.model}/{pool.version} was overtaken: somebody deployed {pool.model} again meanwhile",
                fix="`modelyard models` shows what is served",
            )
        if time.monotonic() > deadline:
            raise _too_late(platform, pool, seen, timeout)
        time.sleep(POLL_SECONDS)


def _failed(pool: DesiredPool, seen: ObservedPool) -> AnswerIsNo:
    rest = f"version {seen.version} keeps serving" if seen.version else f"nothing serves {pool.model} now"
    return AnswerIsNo(
        f"{pool.model}/{pool.version} can't be served: {seen.message}",
        fix=f"{rest}; mend the model and register it again, or deploy another version",
    )


def _too_late(
    platform: Descriptor, pool: DesiredPool, seen: ObservedPool | None, timeout: float
) -> AnswerIsNo | Unreachable:
    what = f"{pool.model}/{pool.version} is not served after {timeout:g} s"
    agent = platform.serving_cluster.agent_url if platform.serving_cluster else ""
    if not is_ready(HttpCheck(url=f"{agent}/health")):
        return Unreachable(f"{what}: the serving agent at {agent} does not answer", fix="`make up` mends it")
    state = f"{seen.state} {seen.message}".strip() if seen else "the agent has not begun"
    return AnswerIsNo(f"{what}: {state}", fix="it goes on trying: `modelyard models` shows how it gets on")


def _deployed(pool: DesiredPool, seen: ObservedPool | None) -> DeployedModel:
    if seen is None or seen.generation != pool.generation:
        serving = seen.version if seen else None
        return DeployedModel(
            pool.model, pool.pool, pool.version, serving, 0, pool.replicas, pool.weight, "waiting", "for the agent"
        )
    return DeployedModel(
        pool.model,
        pool.pool,
        pool.version,
        seen.version,
        seen.ready,
        pool.replicas,
        pool.weight,
        seen.state,
        seen.message,
    )
