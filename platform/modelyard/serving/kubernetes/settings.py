"""Settings of the serving agent in a cluster: whoever provisions the platform writes `ControllerSettings` as JSON."""

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from modelyard.serving.settings import DatabaseSettings, Port, Settings

HTTP, GRPC, METRICS = "http", "grpc", "metrics"
REFUSED = 3  # how a model server or the fetching of its files ends when another try would be of no use


class GatewaySettings(Settings):
    """The Gateway that requests to models come in by.

    Attributes:
        name: Of the Gateway,
        namespace: where it is,
        listener: and its listener's name (`sectionName`).
        host: The host name that clients ask for.
        request_timeout_seconds: A prediction that takes longer is answered with 504.
    """

    name: str
    namespace: str
    listener: str
    host: str
    request_timeout_seconds: PositiveFloat = 60


class ModelSettings(Settings):
    """How one model's pods differ from the others'; what is left out doesn't.

    Attributes:
        cpu: Asked for, as Kubernetes writes it.
        memory: Asked for, and the limit.
        devices: What else it asks for, such as `nvidia.com/gpu`: how many.
        node_selector: Labels of the nodes that it may run on.
        tolerations: Taints of nodes that it puts up with, as a pod has them.
        most_replicas: How many at most, while they are busy.
    """

    cpu: str | None = None
    memory: str | None = None
    devices: dict[str, PositiveInt] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, str], ...] = ()
    most_replicas: PositiveInt | None = None


class ScalingSettings(Settings):
    """When a version gets more replicas than it was deployed with.

    Attributes:
        most_replicas: How many at most; None: as many as it was deployed with, always.
        busy_percent: Of the processor time that replicas ask for.
        requests_in_flight: For each replica, where the cluster has a custom-metrics API; None: not looked at.
    """

    most_replicas: PositiveInt | None = None
    busy_percent: Annotated[int, Field(ge=1, le=100)] = 80
    requests_in_flight: PositiveInt | None = None


class ControllerSettings(Settings):
    """The serving agent of one platform.

    Attributes:
        stack: The platform's name.
        namespace: Where it is.
        owner: The ConfigMap that everything belongs to which this agent makes: when that goes, all goes.
        labels: Of everything that it makes.
        port: Health and metrics, for the cluster.
        answers_port: Answers to clients whom no model server can answer.
        service: The agent's own Service, which routes lead to for such answers.
        database: Holds what should be served.
        gateway: Where requests come in.
        pod: The template of a model server's pod (`metadata` and `spec`), but for what is the model's.
        runtime: The ServingRuntime whose pods these are, where KServe makes them; None: Deployments do.
        ports: Of a model server's pod, by name.
        grpc: Whether replicas answer V2 over gRPC too.
        models: What differs, by model.
        scaling: When replicas are added.
        allow_pickle: Models whose files may run code when they are loaded, by name.
        ready_seconds: A replica that isn't ready by then has failed: images, nodes and models take their time.
        settle_seconds: How long a version keeps its replicas after the routes have left it.
        tick_seconds: How often to look when nothing was announced.
    """

    stack: str
    namespace: str
    owner: str
    labels: dict[str, str]
    port: Port = 9902
    answers_port: Port = 9903
    service: str = "serving-agent"
    database: DatabaseSettings
    gateway: GatewaySettings
    pod: dict[str, Any]
    runtime: str | None = None
    ports: dict[str, int]
    grpc: bool = True
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    scaling: ScalingSettings = ScalingSettings()
    allow_pickle: tuple[str, ...] = ()
    ready_seconds: PositiveFloat = 600
    settle_seconds: PositiveFloat = 10
    tick_seconds: PositiveFloat = 1.0

    @property
    def workload(self) -> str:
        """The kind of object that sees to a version's pods, and that owns all else of the version."""
        return "InferenceService" if self.runtime else "Deployment"
