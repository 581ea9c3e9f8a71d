"""A look at a cluster before anything is made in it: is it the one that is meant, and does it have what is needed?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from modelyard.errors import ModelyardError
from modelyard_infra.resources.local import Inputs, LocalProvider

if TYPE_CHECKING:
    from lightkube import Client

STACK, OWNER = "modelyard.dev/stack", "modelyard.dev/owner"  # labels of what is a stack's own
CLOSED = "closed"  # the NetworkPolicy that is made before all else
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class ClusterCheckProvider(LocalProvider):
    """Looks each time; makes nothing."""

    replaced_by = ()
    outputs = ("version", "cluster")

    def check(self, _olds: Inputs, news: Inputs) -> CheckResult:
        """A platform doesn't move: all that its namespace holds would be left behind, or go with it."""
        before = _olds.get("namespace")
        if before in (None, news["namespace"]):
            return CheckResult(news, [])
        reason = (
            f"the platform is in the namespace {before!r} and can't move to {news['namespace']!r}: its data would stay "
            f"behind. Put `namespace: {before}` back, or make another stack"
        )
        return CheckResult(news, [CheckFailure("namespace", reason)])

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs.get('server')}#{inputs['namespace']}"

    def make(self, inputs: Inputs) -> Inputs:
        from lightkube import ApiError

        from modelyard.kube.api import ConnectionLost

        try:
            client = _client(inputs)
            version, cluster = _check_version(client, inputs), _check_identity(client, inputs)
            _check_namespace(client, inputs)
            _check_storage(client, inputs)
            _check_apis(client, inputs)
        except ApiError as error:
            raise _refused(inputs, error.status.message) from None
        except ConnectionLost as error:
            raise ModelyardError(
                f"the cluster at {inputs.get('server')} can't be reached: {error or type(error).__name__}",
                fix=f"does `kubectl --context {inputs.get('context')} version` reach it from here?",
            ) from None
        return {"version": version, "cluster": cluster}

    def difference(self, inputs: Inputs) -> str | None:
        found = self.make(inputs)["version"]
        return None if found == inputs.get("version") else f"the cluster is at {found} now"

    def unmake(self, inputs: Inputs) -> None:
        pass


def _refused(inputs: Inputs, why: str | None) -> ModelyardError:
    return ModelyardError(
        f"the cluster at {inputs.get('server')} refuses: {why}",
        fix="the account of this context needs the rights that docs/kubernetes.md lists",
    )


def _client(inputs: Inputs) -> "Client":
    from lightkube import Client, KubeConfig
    from lightkube.config.kubeconfig import SingleConfig

    config: SingleConfig | None
    if inputs.get("kubeconfig") is None:
        config = KubeConfig.from_service_account().get()
    else:
        config = KubeConfig.from_file(inputs["kubeconfig"]).get(context_name=inputs.get("context"))
    return Client(config=config, trust_env=False)


def _check_version(client: "Client", inputs: Inputs) -> str:
    """The API server's version, if it is new enough."""
    import re

    answer = client._client._client.get("/version")
    if answer.status_code != 200:
        raise _refused(inputs, answer.reason_phrase)
    version: str = answer.json()["gitVersion"]
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    oldest = tuple(int(number) for number in inputs["oldest"])
    if found < oldest:
        raise ModelyardError(
            f"the cluster at {inputs.get('server')} runs Kubernetes {version}",
            fix=f"Modelyard needs {'.'.join(map(str, oldest))} or newer",
        )
    return version


def _check_identity(client: "Client", inputs: Inputs) -> str:
    """What tells this cluster from others, if it is the one that the platform was made in."""
    from lightkube import ApiError
    from lightkube.resources.core_v1 import Namespace

    before: str | None = inputs.get("cluster")
    try:
        found = str(client.get(Namespace, "kube-system").metadata.uid)  # type: ignore[union-attr]
    except ApiError as error:
        if error.status.code != 403:
            raise
        return before or str(inputs.get("server"))
    if before is not None and len(before) == len(found) and before != found:
        raise ModelyardError(
            f"the cluster at {inputs.get('server')} isn't the one that this platform was made in",
            fix="put the context or server of that one back; a platform in another cluster is another stack",
        )
    return found


def _check_namespace(client: "Client", inputs: Inputs) -> None:
    """Refuse a namespace that isn't this stack's."""
    from lightkube import ApiError
    from lightkube.resources.core_v1 import Namespace

    name = inputs["namespace"]
    try:
        labels: dict[str, Any] = client.get(Namespace, name).metadata.labels or {}  # type: ignore[union-attr]
    except ApiError as error:
        if error.status.code != 404:
            raise
        if not inputs["create_namespace"]:
            raise ModelyardError(
                f"the namespace {name!r} isn't there, and modelyard:cluster.create_namespace is false",
                fix=f"have it made (`kubectl create namespace {name}`), or let the stack make it",
            ) from None
        return
    if STACK not in labels:
        if inputs["create_namespace"]:
            raise ModelyardError(
                f"the namespace {name!r} is there already and was not made by Modelyard",
                fix="choose another modelyard:cluster.namespace, or set create_namespace: false to use it as it is",
            )
        labels = _labels_of_first(client, name)
    stack = labels.get(STACK, inputs["stack"])
    if stack == inputs["stack"] and labels.get(OWNER, inputs["owner"]) == inputs["owner"]:
        return
    whose = f"the stack {stack!r}" + (", of another state than this one" if stack == inputs["stack"] else "")
    raise ModelyardError(
        f"the namespace {name!r} is there already and belongs to {whose}",
        fix="choose another modelyard:cluster.namespace",
    )


def _labels_of_first(client: "Client", namespace: str) -> dict[str, Any]:
    """Of what a stack makes first in a namespace that isn't its own; none as long as there is none."""
    from lightkube import ApiError
    from lightkube.resources.networking_v1 import NetworkPolicy

    try:
        found = client.get(NetworkPolicy, CLOSED, namespace=namespace)
    except ApiError as error:
        if error.status.code != 404:
            raise
        return {}
    return (found.metadata and found.metadata.labels) or {}


def _check_storage(client: "Client", inputs: Inputs) -> None:
    """Refuse a cluster that makes no volumes, where some are needed; who may not look has to know."""
    from lightkube import ApiError
    from lightkube.resources.storage_v1 import StorageClass

    if not inputs["volumes"]:
        return
    try:
        classes = {found.metadata.name: found for found in client.list(StorageClass) if found.metadata}
    except ApiError as error:
        if error.status.code != 403:
            raise
        return
    wanted = inputs.get("storage_class")
    if wanted is not None and wanted not in classes:
        raise ModelyardError(
            f"modelyard:cluster.storage_class is {wanted!r}, which the cluster doesn't have",
            fix=f"it has: {', '.join(sorted(map(str, classes))) or 'none'}",
        )
    defaults = [
        name
        for name, found in classes.items()
        if found.metadata and (found.metadata.annotations or {}).get(DEFAULT_CLASS) == "true"
    ]
    if wanted is None and not defaults:
        raise ModelyardError(
            "the cluster has no default storage class, and volumes need one",
            fix=f"set modelyard:cluster.storage_class to one of: {', '.join(sorted(map(str, classes)))}"
            if classes
            else "install a volume provisioner first, such as the cloud's CSI driver",
        )


def _check_apis(client: "Client", inputs: Inputs) -> None:
    """Refuse a cluster that lacks what others have to install."""
    missing = [(api, what) for api, what in sorted((inputs.get("apis") or {}).items()) if not _has_api(client, api)]
    if missing:
        raise ModelyardError(
            f"the cluster at {inputs.get('server')} doesn't have {' and '.join(api for api, _ in missing)}",
            fix="; ".join(what for _, what in missing),
        )


def _has_api(client: "Client", api: str) -> bool:
    return bool(client._client._client.get(f"/apis/{api}").status_code != 404)


class ClusterCheck(Resource, module="modelyard", name="ClusterCheck"):
    """One look at one cluster.

    Args:
        resource_name: Its name in the stack.
        kubeconfig: The file; None: the account of the pod that this runs in.
        context: Of the file.
        server: Where it leads.
        namespace: What the platform wants as its own.
        stack: The stack's name.
        owner: What tells this stack from others of its name; on all that is its own as a label.
        create_namespace: Whether the namespace may be made.
        storage_class: Which has to be there; None: a default one.
        volumes: Whether any are needed.
        oldest: Version of Kubernetes: major, minor.
        apis: What it has to have besides, as a path below `/apis`, and what to do where it doesn't.

    Attributes:
        cluster: What tells the cluster from others.
    """

    namespace: Output[str]
    owner: Output[str]
    version: Output[str]
    cluster: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        kubeconfig: str | None,
        context: str | None,
        server: str | None,
        namespace: str,
        stack: str,
        owner: Input[str],
        create_namespace: bool,
        storage_class: str | None,
        volumes: bool,
        oldest: tuple[int, int],
        apis: Mapping[str, str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs: dict[str, Input[Any] | None] = {
            "kubeconfig": kubeconfig,
            "context": context,
            "server": server,
            "namespace": namespace,
            "stack": stack,
            "owner": owner,
            "create_namespace": create_namespace,
            "storage_class": storage_class,
            "volumes": volumes,
            "oldest": list(oldest),
            "apis": dict(apis),
            "version": None,
            "cluster": None,
        }
        super().__init__(ClusterCheckProvider(), resource_name, inputs, opts)
