"""A Kubernetes cluster that is there already; the platform gets a namespace of its own in it.

Creates: the namespace, closed by NetworkPolicies, after a look at the cluster.
"""

from pathlib import Path
from typing import Annotated

import pulumi_kubernetes as kubernetes
from pulumi import ComponentResource, Input, Output, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard.descriptor import Cluster
from modelyard_infra.contracts import ClusterAccess
from modelyard_infra.field_types import ObjectName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.cluster import _kubeconfig
from modelyard_infra.parts.cluster._dns import Dns
from modelyard_infra.parts.cluster._toleration import Toleration
from modelyard_infra.resources.cluster_check import CLOSED, OWNER, STACK, ClusterCheck
from modelyard_infra.resources.generated_password import GeneratedPassword

NEEDS: tuple[str, ...] = ()
OLDEST = (1, 30)


class Settings(PartSettings):
    """Settings of a cluster that is there.

    Attributes:
        kubeconfig: Its file; left out, $KUBECONFIG or ~/.kube/config, and inside of a pod, the pod's own account.
        context: Which of its contexts; left out, the current one, which then has to lead to `server`.
        server: The API server's address. Another one is refused, so that a stack can't end up in the wrong cluster.
        namespace: The platform's own; left out, `modelyard-` and the stack's name.
        create_namespace: Whether it is to be made; if not, somebody with more rights has made it.
        domain: Of the cluster's own names.
        dns: Where pods ask for names, for NetworkPolicies.
        storage_class: Of volumes; left out, the cluster's default one.
        node_selector: Labels of the nodes that the platform's pods may run on.
        tolerations: Taints of nodes that its pods put up with.
        api_ports: Where pods reach the API server, for NetworkPolicies: the port of its Service and its own.
        ready_seconds: How long a workload may take: nodes have to take its pods, images to be pulled, servers to start.
    """

    kubeconfig: str | None = None
    context: str | None = None
    server: str | None = None
    namespace: ObjectName | None = None
    create_namespace: bool = True
    domain: str = "cluster.local"
    dns: Dns = Dns()
    storage_class: ObjectName | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    api_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)] = (443, 6443)
    ready_seconds: Annotated[int, Field(ge=10, le=7200)] = 600

    @field_validator("server")
    @classmethod
    def _pinned(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("context") is None:
            raise ValueError(
                "neither `context` nor `server` says which cluster is meant, and the current one may change"
            )
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


class ExistingCluster(ComponentResource):
    """A namespace in somebody's cluster."""

    access: ClusterAccess

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:cluster:Existing", inputs.name, None, opts)
        name = namespace_of(settings, inputs.stack)
        chosen = _kubeconfig.choose(settings.kubeconfig, settings.context, settings.server)
        owner = GeneratedPassword(f"{inputs.name}-owner", length=16, opts=ResourceOptions(parent=self)).value
        check = ClusterCheck(
            f"{inputs.name}-check",
            kubeconfig=chosen.file,
            context=chosen.context,
            server=chosen.server,
            namespace=name,
            stack=inputs.stack,
            owner=Output.unsecret(owner),
            create_namespace=settings.create_namespace,
            storage_class=settings.storage_class,
            volumes=inputs.volumes,
            oldest=OLDEST,
            apis=inputs.apis,
            opts=ResourceOptions(parent=self),
        )
        provider = kubernetes.Provider(
            f"{inputs.name}-provider",
            kubeconfig=chosen.file,
            context=chosen.context,
            namespace=name,
            # Always the same: a kubeconfig that was moved, or a server with a new name, must not replace every object.
            # That it is no other cluster, the check has seen.
            cluster_identifier=f"{inputs.stack}/{name}",
            enable_server_side_apply=True,
            upsert_existing_objects=True,  # an `up` that was killed finds what it had made; the check says whose it is
            # Else a changed setting deletes the ConfigMap that running pods read before it makes the new one.
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
            opts=ResourceOptions(parent=self, depends_on=[check]),
        )
        self._child = ResourceOptions(parent=self, provider=provider, depends_on=[check])
        self._labels: dict[str, Input[str]] = {
            "app.kubernetes.io/part-of": "modelyard",
            "app.kubernetes.io/managed-by": "modelyard",
            STACK: inputs.stack,
            OWNER: check.owner,
        }
        namespace = self._namespace(name, protect=inputs.protect) if settings.create_namespace else check.namespace
        self.access = ClusterAccess(
            provider,
            self._close(namespace, settings.dns),
            name,
            domain=settings.domain,
            storage_class=settings.storage_class,
            node_selector=settings.node_selector,
            tolerations=tuple(toleration.document() for toleration in settings.tolerations),
            api_ports=settings.api_ports,
            ready_seconds=settings.ready_seconds,
            kubeconfig=chosen.file,
            context=chosen.context,
        )
        self.register_outputs({"namespace": name})

    def _namespace(self, name: str, *, protect: bool) -> Output[str]:
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        made = kubernetes.core.v1.Namespace(
            name,
            metadata={"name": name, "labels": self._labels | levels},
            opts=ResourceOptions.merge(self._child, ResourceOptions(protect=protect)),
        )
        named: Output[str] = made.metadata.name
        return named

    def _close(self, namespace: Output[str], dns: Dns) -> Output[str]:
        """Nobody talks to anybody, save to ask for names; each part opens the ways that it needs."""
        spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [dns.egress()]}
        policy = kubernetes.networking.v1.NetworkPolicy(
            CLOSED,
            metadata={"name": CLOSED, "namespace": namespace, "labels": self._labels},
            spec=spec,
            opts=self._child,
        )
        closed: Output[str] = policy.metadata.namespace
        return closed


def namespace_of(settings: Settings, stack: str) -> str:
    """The platform's namespace."""
    return settings.namespace or f"modelyard-{stack}".lower().replace("_", "-").replace(".", "-")


def place(settings: Settings, stack: str) -> Cluster:
    """Where a stack's platform is, or will be."""
    chosen = _kubeconfig.choose(settings.kubeconfig, settings.context, settings.server)
    file = Path(chosen.file) if chosen.file else None
    return Cluster(kubeconfig=file, context=chosen.context, namespace=namespace_of(settings, stack))


def build(settings: Settings, inputs: PartInputs) -> ClusterAccess:
    """Build the part."""
    return ExistingCluster(settings, inputs, ResourceOptions(parent=inputs.parent)).access
