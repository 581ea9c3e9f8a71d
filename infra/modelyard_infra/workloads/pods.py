"""Pods as Kubernetes takes them, hardened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pulumi import Input
from pydantic import Field

from modelyard_infra.contracts import ClusterAccess, Images, SecretReference
from modelyard_infra.parts import PartSettings

Document = dict[str, Any]
Cpu = Annotated[str, Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]

USER = 10001  # of every image; fixed, so that volumes outlive a change of image
SECRETS = "/run/secrets/modelyard"
SETTINGS = "/etc/modelyard"


class Resources(PartSettings):
    """What one pod asks for and may use.

    Attributes:
        cpu: Asked for, as Kubernetes writes it: `250m` is a quarter of a core. There is no limit, which would throttle.
        memory: Asked for, and the limit: `512Mi`.
    """

    cpu: Cpu
    memory: Memory

    def document(self) -> Document:
        """As a container has it."""
        return {"requests": {"cpu": self.cpu, "memory": self.memory}, "limits": {"memory": self.memory}}


@dataclass(frozen=True)
class Container:
    """One container, without what all have in common.

    Attributes:
        image: What the image is for: one of `Images.references`.
        environment: Plain values; no secrets.
        secret_environment: For programs that take a secret no other way.
        ready: A probe (`httpGet`, `tcpSocket`, `exec`) that says whether it may get requests.
        alive: One that says whether it has to be started again; left out, nothing but its end does.
        startup_seconds: How long it may take until it is ready for the first time.
        leave_seconds: How long it goes on after it was told to end: routers hear of that a moment later.
        from_pod: Variables that tell of the pod itself, by the field that has it: `status.podIP`.
    """

    name: str
    image: str
    resources: Resources
    command: Sequence[Input[str]] = ()
    arguments: Sequence[Input[str]] = ()
    environment: Mapping[str, Input[str]] = field(default_factory=dict)
    secret_environment: Mapping[str, SecretReference] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    ready: Document | None = None
    alive: Document | None = None
    startup_seconds: int = 60
    leave_seconds: int = 0
    from_pod: Mapping[str, str] = field(default_factory=dict)

    def document(self, images: Images, mounts: list[Document]) -> Document:
        """As a pod has it."""
        plain = [{"name": name, "value": value} for name, value in self.environment.items()]
        secret = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}
            for name, reference in self.secret_environment.items()
        ]
        of_pod = [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in self.from_pod.items()
        ]
        own = [{"name": volume, "mountPath": path} for volume, path in self.mounts.items()]
        document: Document = {
            "name": self.name,
            "image": images.references[self.image],
            "resources": self.resources.document(),
            "env": [*plain, *secret, *of_pod],
            "volumeMounts": [*mounts, *own],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        if self.command:
            document["command"] = list(self.command)
        if self.arguments:
            document["args"] = list(self.arguments)
        if self.leave_seconds:
            document["lifecycle"] = {"preStop": {"sleep": {"seconds": self.leave_seconds}}}
        if self.ports:
            document["ports"] = [{"name": name, "containerPort": port} for name, port in self.ports.items()]
        return document | self._probes()

    def _probes(self) -> Document:
        if self.ready is None:
            return {}
        period = 2
        starting = {"periodSeconds": period, "failureThreshold": max(1, self.startup_seconds // period)}
        probes = {
            "startupProbe": self.ready | starting | {"timeoutSeconds": 5},
            "readinessProbe": self.ready | {"periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
        }
        if self.alive is not None:
            probes["livenessProbe"] = self.alive | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
        return probes


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes:
        settings: Name of the ConfigMap that is mounted at `SETTINGS`.
        secrets: Mounted below `SECRETS`, each as a file of the name that is its key here.
        before_secrets: The same for the container before, which the other doesn't get to see.
        uses: Parts whose pods it talks to.
        account: The service account whose rights it has; left out, it has none.
        before: A container that has to end well before the other is started.
        memory_mib: Of /tmp; it is memory, and counts as the pod's.
        grace_seconds: How long it may take to end.
    """

    container: Container
    before: Container | None = None
    settings: Input[str] | None = None
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    before_secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    uses: Sequence[str] = ()
    account: Input[str] | None = None
    volumes: Sequence[Document] = ()
    memory_mib: int = 64
    grace_seconds: int = 30
    restart: str = "Always"
    spread: bool = False

    def spec(self, cluster: ClusterAccess, images: Images, labels: Mapping[str, str]) -> Document:
        """As a template has it."""
        volumes, mounts = self._volumes()
        spec: Document = {
            "containers": [self.container.document(images, mounts)],
            "volumes": volumes,
            "restartPolicy": self.restart,
            "automountServiceAccountToken": self.account is not None,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": self.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        if self.account is not None:
            spec["serviceAccountName"] = self.account
        if self.before:
            own: list[Document] = []
            if self.before_secrets:
                volumes.append(_secrets("before", self.before_secrets))
                own.append({"name": "before", "mountPath": f"{SECRETS}-before", "readOnly": True})
            spec["initContainers"] = [self.before.document(images, [*mounts, *own])]
        if images.pull_secrets:
            spec["imagePullSecrets"] = [{"name": name} for name in images.pull_secrets]
        if cluster.node_selector:
            spec["nodeSelector"] = dict(cluster.node_selector)
        if cluster.tolerations:
            spec["tolerations"] = [dict(toleration) for toleration in cluster.tolerations]
        if self.spread:
            spec["topologySpreadConstraints"] = [
                {
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": dict(labels)},
                }
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ]
        return spec

    def _volumes(self) -> tuple[list[Document], list[Document]]:
        temporary = {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{self.memory_mib}Mi"}}
        volumes: list[Document] = [temporary, *self.volumes]
        mounts: list[Document] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own
        if self.settings is not None:
            volumes.append({"name": "settings", "configMap": {"name": self.settings}})
            mounts.append({"name": "settings", "mountPath": SETTINGS, "readOnly": True})
        if self.secrets:
            volumes.append(_secrets("secrets", self.secrets))
            mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
        return volumes, mounts


def _secrets(name: str, values: Mapping[str, SecretReference]) -> Document:
    """A volume with a file for each."""
    sources = [
        {"secret": {"name": reference.name, "items": [{"key": reference.key, "path": file}]}}
        for file, reference in values.items()
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o440}}
