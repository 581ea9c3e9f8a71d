"""A platform in a cluster, from where a person sits: commands run in one of its pods, states are looked up.

The command there is the one that the platform was installed with, and the platform's passwords don't leave the cluster.
A person needs the rights to list pods and workloads and to create `pods/exec` in the platform's namespace.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from httpx2.websockets import WebSocketDisconnect, WebSocketNetworkError, WebSocketUpgradeError  # lightkube's own
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError

from modelyard.descriptor import Cluster, Descriptor
from modelyard.errors import ModelyardError, Unreachable
from modelyard.kube.api import Api, ConnectionLost, Document
from modelyard.status_report import HEALTHY, PartStatus, Report, addresses

COMMAND = "/opt/modelyard/bin/modelyard"
PART = "modelyard.dev/part"
PATIENCE_SECONDS = 15.0  # for a pod that isn't ready yet, or for a moment
WORKLOADS = ("Deployment", "StatefulSet")
_OWN_COMPONENT = "model-server"  # what is deployed is what `modelyard models` tells of


def client(cluster: Cluster) -> Client:
    """A client with the person's own rights.

    Raises:
        ModelyardError: the kubeconfig isn't there, or has no such context.
    """
    try:
        if cluster.kubeconfig is None:
            config = KubeConfig.from_service_account().get()
        else:
            config = KubeConfig.from_file(cluster.kubeconfig).get(context_name=cluster.context)
    except (ConfigError, OSError) as error:
        raise ModelyardError(
            f"{cluster.kubeconfig or 'this pod'} doesn't lead to the platform's cluster: {error}",
            fix=f"have the context {cluster.context!r} there, or repeat `modelyard up` with another one",
        ) from None
    return Client(config=config, trust_env=False)


def config_map(cluster: Cluster, name: str) -> Document | None:
    """A ConfigMap of the cluster's namespace; None if it isn't there.

    Raises:
        Unreachable: the cluster doesn't answer.
        ModelyardError: it refuses, or the kubeconfig doesn't lead there.
    """
    api = Api(client(cluster), cluster.namespace)
    with _in_words(cluster):
        return api.get("ConfigMap", name)


def run(platform: Descriptor, pods: str, arguments: Sequence[str]) -> int:
    """Run `modelyard` in one of the platform's pods; what it says is said here.

    Args:
        platform: One with a cluster.
        pods: Their name: `serving-agent`.
        arguments: What was typed after `modelyard`.

    Returns:
        Its exit code.

    Raises:
        Unreachable: the cluster doesn't answer, or no such pod runs there.
        ModelyardError: the person may not run commands there.
    """
    assert platform.cluster is not None
    cluster = platform.cluster
    kubernetes = client(cluster)
    with _in_words(cluster):
        pod = _ready_pod(Api(kubernetes, cluster.namespace), pods)
        if pod is None:
            raise Unreachable(
                f"no pod of {pods} is ready in the namespace {cluster.namespace}",
                fix=f"`modelyard status --stack {platform.stack}` shows what is down",
            )
        return _run_in(pod, kubernetes, cluster, [COMMAND, *without_stack(arguments)])


def _run_in(pod: str, kubernetes: Client, cluster: Cluster, command: list[str]) -> int:
    try:
        done = kubernetes.exec(
            pod, namespace=cluster.namespace, command=command, stdout=sys.stdout.buffer, stderr=sys.stderr.buffer
        )
    except WebSocketUpgradeError as refusal:
        code = refusal.response.status_code
        raise ModelyardError(
            f"{_cluster(cluster)} doesn't run a command in the pod {pod}: HTTP {code}",
            fix=f"you need the right to create pods/exec in the namespace {cluster.namespace}"
            if code == HTTPStatus.FORBIDDEN
            else f"`kubectl --context {cluster.context} -n {cluster.namespace} exec {pod} -- true` says why",
        ) from None
    except (WebSocketDisconnect, WebSocketNetworkError) as error:
        raise Unreachable(
            f"the pod {pod} was gone before the command had ended: {error or type(error).__name__}",
            fix="it may have done its work or not: `modelyard models` and `modelyard users list` tell; then try again",
        ) from None
    finally:
        sys.stdout.flush()
    return int(done.exit_code)


def _ready_pod(api: Api, name: str) -> str | None:
    """One of these pods that is ready; where all that there are just aren't yet, they get some time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found, _ = api.list("Pod", {"app.kubernetes.io/name": name})
        ready = [pod["metadata"]["name"] for pod in found if _is_ready(pod)]
        if ready or not found or time.monotonic() > end:
            return ready[0] if ready else None
        time.sleep(0.5)


def without_stack(arguments: Sequence[str]) -> list[str]:
    """Arguments without those that say which platform: a pod belongs to one.

    >>> without_stack(["deploy", "bike", "--stack", "prod", "--replicas=2"])
    ['deploy', 'bike', '--replicas=2']
    """
    left, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in ("--stack", "-s"):
            skip = True
        elif not argument.startswith("--stack="):
            left.append(argument)
    return left


def look(platform: Descriptor) -> Report:
    """How the workloads of every part are."""
    assert platform.cluster is not None
    cluster = platform.cluster
    api = Api(client(cluster), cluster.namespace)
    labels = {"app.kubernetes.io/part-of": "modelyard"}
    with _in_words(cluster):
        found = [one for kind in WORKLOADS for one in api.list(kind, labels)[0]]
        scalers = api.list("HorizontalPodAutoscaler", labels)[0]
    least = {one["spec"]["scaleTargetRef"]["name"]: one["spec"].get("minReplicas", 1) for one in scalers}
    states: dict[str, list[str]] = {}
    for one in found:
        own = one["metadata"]["labels"]
        if own.get("app.kubernetes.io/name") != _OWN_COMPONENT:
            states.setdefault(_part(own[PART]), []).append(_state(one, least))
    known = {part: (kind, url) for part, kind, url in addresses(platform)}
    parts = tuple(
        PartStatus(part, kind, _worst(states.get(part, [])), url, ())
        for part in sorted(states.keys() | known.keys())
        for kind, url in [known.get(part, ("", "inside of the cluster"))]
    )
    return Report(platform.stack, f"namespace {cluster.namespace}", parts)


def troubles(cluster: Cluster) -> list[str]:
    """What keeps the workloads of a platform from being ready, a line each; none if the cluster doesn't tell."""
    from modelyard.kube import troubles

    try:
        return troubles.look(Api(client(cluster), cluster.namespace))
    except (ModelyardError, ApiError, ConnectionLost):
        return []


class _in_words:
    """Turns what goes wrong between here and the cluster into words."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        where = _cluster(self._cluster)
        if isinstance(error, ApiError):
            raise ModelyardError(
                f"{where} refuses: {error.status.message}",
                fix=f"you need rights in the namespace {self._cluster.namespace}: to list pods, deployments, "
                "statefulsets and autoscalers, to get configmaps, and to create pods/exec",
            ) from None
        if isinstance(error, ConnectionLost):
            raise Unreachable(
                f"{where} can't be reached: {error or type(error).__name__}",
                fix=f"does `kubectl --context {self._cluster.context} version` reach it from here?",
            ) from None


def _cluster(cluster: Cluster) -> str:
    return f"the cluster of context {cluster.context!r}"


def _part(label: str) -> str:
    """A part's name. Those who watch are one part, whose servers have labels of their own to open one way each."""
    name = label.replace("-", "_")
    return name if name in Descriptor.model_fields else "monitoring"


def _is_ready(pod: Document) -> bool:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _state(workload: Document, least: Mapping[str, int]) -> str:
    """Replicas that an autoscaler is just adding are missed by nobody."""
    name, ready = workload["metadata"]["name"], workload.get("status", {}).get("readyReplicas", 0)
    wanted = least.get(name, workload["spec"].get("replicas", 1))
    return HEALTHY if ready >= wanted else f"{ready} of {wanted} ready"


def _worst(states: Sequence[str]) -> str:
    sick = [state for state in states if state != HEALTHY]
    return sick[0] if sick else HEALTHY if states else "not there"
