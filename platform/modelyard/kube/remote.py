"""A platform in a cluster, from where a person sits: commands run in one of its pods, states are looked up.

The command there is the one that the platform was installed with, and the platform's passwords don't leave the cluster.
A person needs the rights to list pods and workloads and to create `pods/exec` in the platform's namespace.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError

from modelyard.descriptor import Cluster, Descriptor
from modelyard.errors import ModelyardError, Unreachable
from modelyard.kube.api import Api, ConnectionLost, Document
from modelyard.status_report import HEALTHY, PartStatus, Report, addresses

COMMAND = "/opt/modelyard/bin/modelyard"
PART = "modelyard.dev/part"
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
        found, _ = Api(kubernetes, cluster.namespace).list("Pod", {"app.kubernetes.io/name": pods})
        ready = [pod["metadata"]["name"] for pod in found if _is_ready(pod)]
        if not ready:
            raise Unreachable(
                f"no pod of {pods} is running in the namespace {cluster.namespace}",
                fix=f"`modelyard status --stack {platform.stack}` shows what is down",
            )
        done = kubernetes.exec(
            ready[0],
            namespace=cluster.namespace,
            command=[COMMAND, *without_stack(arguments)],
            stdout=sys.stdout.buffer,
            stderr=sys.stderr.buffer,
        )
    sys.stdout.flush()
    return int(done.exit_code)


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
        where = f"the cluster of context {self._cluster.context!r}"
        if isinstance(error, ApiError):
            raise ModelyardError(
                f"{where} refuses: {error.status.message}",
                fix=f"you need rights in the namespace {self._cluster.namespace}: to list pods, deployments, "
                "statefulsets and autoscalers, and to create pods/exec",
            ) from None
        if isinstance(error, ConnectionLost):
            raise Unreachable(
                f"{where} can't be reached: {error or type(error).__name__}",
                fix=f"does `kubectl --context {self._cluster.context} version` reach it from here?",
            ) from None


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
