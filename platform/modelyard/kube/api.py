"""Objects of one namespace, as plain documents."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from lightkube import ApiError, Client, KubeConfig
from lightkube.config import client_adapter
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource

from modelyard.errors import ModelyardError

Document = dict[str, Any]
Change = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

_http: Any = vars(client_adapter)[
    "httpx"
]  # lightkube's own HTTP library; which one that is differs between its versions
ConnectionLost: type[Exception] = _http.HTTPError

WATCH_SECONDS = 60  # after which the server ends a stream, and the next begins where it ended

_KINDS = {
    "ConfigMap": ("", "v1", "configmaps"),
    "Pod": ("", "v1", "pods"),
    "Service": ("", "v1", "services"),
    "Deployment": ("apps", "v1", "deployments"),
    "Event": ("", "v1", "events"),
    "Gateway": ("gateway.networking.k8s.io", "v1", "gateways"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "HTTPRoute": ("gateway.networking.k8s.io", "v1", "httproutes"),
    "InferenceService": ("serving.kserve.io", "v1beta1", "inferenceservices"),
    "Lease": ("coordination.k8s.io", "v1", "leases"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
}
_RESOURCES: dict[str, Any] = {
    kind: create_namespaced_resource(group, version, kind, plural) for kind, (group, version, plural) in _KINDS.items()
}


class Conflict(Exception):
    """Somebody else has written the object in the meantime."""


class Api:
    """A client of one namespace.

    Args:
        client: With the rights that its user needs.
        namespace: Where the objects are.
        manager: Who is said to own the fields that `apply` sets.
    """

    def __init__(self, client: Client, namespace: str, *, manager: str = "modelyard") -> None:
        self._client: Any = client  # its overloads are by kind of resource, and these are made above
        # A server that is gone without a word ends no stream: one that is silent for longer than it may be is dead.
        self._client._client._watch_timeout = _http.Timeout(10, read=WATCH_SECONDS + 15)
        self.namespace = namespace
        self._manager = manager

    @classmethod
    def in_pod(cls, namespace: str, *, manager: str) -> Self:
        """As the pod's own account.

        Raises:
            ModelyardError: this isn't a pod, or one without an account's token.
        """
        try:
            config = KubeConfig.from_service_account().get()
        except ConfigError as error:
            raise ModelyardError(
                f"this program doesn't run in a pod with an account: {error}",
                fix="it is started by the serving part of a platform in a cluster",
            ) from None
        return cls(Client(config=config, trust_env=False), namespace, manager=manager)

    def get(self, kind: str, name: str) -> Document | None:
        """One object; None if it isn't there."""
        try:
            return _plain(self._client.get(_RESOURCES[kind], name, namespace=self.namespace))
        except ApiError as error:
            if error.status.code == 404:
                return None
            raise

    def list(self, kind: str, labels: Mapping[str, str]) -> tuple[builtins.list[Document], str]:
        """Objects with these labels, and the version of the list that `watch` goes on from."""
        found = self._client.list(_RESOURCES[kind], namespace=self.namespace, labels=dict(labels))
        group, version, _ = _KINDS[kind]
        head = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}  # items of a list don't say
        documents = [head | _plain(one) for one in found]
        return documents, found.resourceVersion

    def watch(self, kind: str, labels: Mapping[str, str], version: str) -> Iterator[tuple[Change, Document]]:
        """What happens to them from a version on; never ends by itself.

        Raises:
            ConnectionLost: the server went away, or wants the objects listed anew.
        """
        resource = _RESOURCES[kind]
        for change, found in self._client.watch(
            resource,
            namespace=self.namespace,
            labels=dict(labels),
            resource_version=version,
            server_timeout=WATCH_SECONDS,
        ):
            yield change, _plain(found)

    def apply(self, document: Document) -> Document:
        """Have an object be what the document says, where it says something (server-side apply); returns it whole."""
        resource = _RESOURCES[document["kind"]](document)
        return _plain(self._client.apply(resource, namespace=self.namespace, field_manager=self._manager, force=True))

    def write(self, document: Document) -> Document:
        """Make an object, or replace it if it still is at the `resourceVersion` that the document has.

        Raises:
            Conflict: it is there already, or isn't at that version any more.
        """
        resource = _RESOURCES[document["kind"]]
        write = self._client.replace if document["metadata"].get("resourceVersion") else self._client.create
        try:
            return _plain(write(resource(document), namespace=self.namespace))
        except ApiError as error:
            if error.status.code in (404, 409):
                raise Conflict(str(error)) from None
            raise

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what belongs to it; it may be gone already."""
        try:
            self._client.delete(_RESOURCES[kind], name, namespace=self.namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise


def _plain(found: Any) -> Document:
    return dict(found.to_dict())
