"""What a stack says of model serving in a cluster, by whichever controller."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from modelyard.serving.kubernetes import settings as agents
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._tokens import Issuer
from modelyard_infra.parts.cluster._toleration import Toleration
from modelyard_infra.parts.serving_cluster._access import Client
from modelyard_infra.parts.serving_cluster._payload_log import PayloadLog
from modelyard_infra.workloads.pods import Cpu, Memory, Resources


class Model(PartSettings):
    """How one model's pods differ from the others'; what is left out doesn't.

    Attributes:
        cpu: Asked for, as Kubernetes writes it.
        memory: Asked for, and the limit.
        devices: What else a replica needs, such as `nvidia.com/gpu: 1`.
        node_selector: Labels of the nodes that it may run on, besides those of the cluster part.
        tolerations: Taints of nodes that it puts up with, besides those of the cluster part.
        most_replicas: How many at most, while they are busy.
    """

    cpu: Cpu | None = None
    memory: Memory | None = None
    devices: dict[str, PositiveInt] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    most_replicas: Annotated[int, Field(ge=1, le=500)] | None = None

    def for_agent(self) -> agents.ModelSettings:
        """As the serving agent is told."""
        return agents.ModelSettings(
            cpu=self.cpu,
            memory=self.memory,
            devices=self.devices,
            node_selector=self.node_selector,
            tolerations=tuple({k: str(v) for k, v in one.document().items()} for one in self.tolerations),
            most_replicas=self.most_replicas,
        )


class Settings(PartSettings):
    """Settings of model serving in a cluster.

    Attributes:
        resources: Of one model server's pod.
        models: By a model's name: how its pods differ.
        most_replicas: How many replicas a version may grow to while they are busy; left out, it keeps as many as it was
            deployed with.
        busy_percent: Of the processor time that replicas ask for, from which on there are more of them.
        requests_in_flight: For each replica, from which on there are more; needs a custom-metrics API in the cluster.
        max_request_mib: A larger request is answered with 413.
        request_timeout_seconds: A prediction that takes longer is answered with 504.
        drain_seconds: How long a replica that has to go may go on with requests it has; by default, a little longer
            than a request may take.
        ready_seconds: How long a replica may take: a node has to take it, its image and model have to be there, and it
            has to answer.
        threads: Threads that each model server's numerical libraries may use.
        allow_pickle: Names of models that may be unpickled, which can run any code that is in their files.
        payload_log: Record inputs and outputs as Parquet files in the artifact store; left out, nothing is recorded.
        grpc: Answer V2 over gRPC too.
        api_keys: Names of clients; each gets a generated key, and requests without one of these are refused.
        jwt: Requests without a token of this issuer are refused.
        open: Let everybody in who reaches the Gateway; for networks where somebody else looks who that is.
        agents: Replicas of the serving agent; one acts, the next takes over within fifteen seconds.
        agent_resources: Of each.
    """

    resources: Resources = Resources(cpu="100m", memory="384Mi")
    models: dict[str, Model] = Field(default_factory=dict)
    most_replicas: Annotated[int, Field(ge=1, le=500)] | None = None
    busy_percent: Annotated[int, Field(ge=1, le=100)] = 80
    requests_in_flight: PositiveInt | None = None
    max_request_mib: PositiveInt = 16
    request_timeout_seconds: PositiveFloat = 60
    drain_seconds: PositiveFloat | None = None
    ready_seconds: PositiveFloat = 600
    threads: PositiveInt = 1
    allow_pickle: tuple[str, ...] = ()
    payload_log: PayloadLog | None = None
    grpc: bool = True
    api_keys: tuple[Client, ...] = ()
    jwt: Issuer | None = None
    open: bool = False
    agents: Annotated[int, Field(ge=1, le=5)] = 2
    agent_resources: Resources = Resources(cpu="20m", memory="128Mi")

    @field_validator("requests_in_flight")
    @classmethod
    def _with_room(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("most_replicas") is None:
            raise ValueError("without most_replicas there are never more replicas")
        return value

    @field_validator("open")
    @classmethod
    def _one_way_in(cls, value: bool, info: ValidationInfo) -> bool:
        ways = [name for name in ("api_keys", "jwt") if info.data.get(name)] + (["open"] if value else [])
        if not ways:
            raise ValueError("everybody would reach the models: set api_keys or jwt, or `open: true` if that is meant")
        if len(ways) > 1:
            raise ValueError(f"choose one of {' and '.join(ways)}")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    found = {}
    if settings.most_replicas or any(model.most_replicas for model in settings.models.values()):
        found["metrics.k8s.io/v1beta1"] = (
            "install metrics-server: https://github.com/kubernetes-sigs/metrics-server (or leave most_replicas of "
            "serving_cluster out: replicas then don't follow the load)"
        )
    if settings.requests_in_flight:
        found["custom.metrics.k8s.io"] = (
            "install an adapter that serves modelyard_requests_in_flight of pods, such as "
            "https://github.com/kubernetes-sigs/prometheus-adapter (or leave requests_in_flight out)"
        )
    return found


def misfits(settings: Settings, others: Mapping[str, PartSettings]) -> Iterator[tuple[str, str, str]]:
    """What doesn't go with other parts' settings."""
    if getattr(others["edge"], "policies", None) == "none" and not settings.open:
        yield (
            "api_keys" if settings.api_keys else "jwt",
            "keys and tokens are looked at by Envoy Gateway, and edge.policies is none",
            "set `open: true` once your own Gateway looks who asks, or edge.policies to envoy_gateway",
        )
