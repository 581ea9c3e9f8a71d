"""What the objects of one part in a cluster's namespace have in common: names, labels, where they are."""

from typing import Any

from pulumi import Resource, ResourceOptions

from modelyard_infra.contracts import ClusterAccess, Images
from modelyard_infra.workloads.pods import Document

PART = "modelyard.dev/part"


class Named:
    """Names the objects of one part.

    Names are given, never made up by a provider: others refer to them, and a second try finds the first one's.

    Args:
        part: The part's name in names: `registry-database`.
        cluster: Where.
        images: What pods may run.
        stack: The stack's name.
        parent: The component that they belong to.
    """

    def __init__(self, part: str, *, cluster: ClusterAccess, images: Images, stack: str, parent: Resource) -> None:
        self._part, self._cluster, self._images, self._stack = part, cluster, images, stack
        self._parent = parent

    def labels(self, name: str) -> dict[str, str]:
        """What tells these objects from others."""
        return {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/instance": self._stack,
            "app.kubernetes.io/part-of": "modelyard",
            "app.kubernetes.io/managed-by": "modelyard",
            PART: self._part,
        }

    @property
    def patience(self) -> dict[str, str]:
        """The annotation that says how long whoever applies an object waits until it is ready."""
        return {"pulumi.com/timeoutSeconds": str(self._cluster.ready_seconds)}

    def host(self, service: str) -> str:
        """A Service's name, as every pod of the cluster finds it."""
        return f"{service}.{self._cluster.namespace_name}.svc.{self._cluster.domain}"

    def _selector(self, name: str) -> dict[str, str]:
        return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": self._stack}

    def _metadata(self, name: str) -> Document:
        return {"name": name, "namespace": self._cluster.namespace, "labels": self.labels(name)}

    def _metadata_of_workload(self, name: str) -> Document:
        return self._metadata(name) | {"annotations": self.patience}

    def _opts(self, **options: Any) -> ResourceOptions:
        return ResourceOptions(parent=self._parent, provider=self._cluster.provider, **options)
