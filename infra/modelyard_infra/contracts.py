"""What parts hand each other. A part knows these and never what is behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi import Output, ProviderResource


@dataclass(frozen=True)
class SecretReference:
    """Where a secret is kept; never the secret.

    Attributes:
        name: Its name among the platform's secrets; in a cluster, the Secret's in the platform's namespace.
        path: The file it lies in (local platforms).
        key: Which of the Secret's values it is (clusters).
    """

    name: Output[str]
    path: Output[str] | None = None
    key: str | None = None

    @property
    def file(self) -> Output[str]:
        """The path, of a secret of a local platform."""
        assert self.path is not None, "a cluster's secrets are no files of this machine"
        return self.path


@dataclass(frozen=True)
class DatabaseAccess:
    """One database, and the role that owns it.

    Attributes:
        connections: How many the role may open at a time.
    """

    name: str
    user: str
    password: SecretReference
    connections: int


@dataclass(frozen=True)
class MetricsPods:
    """Pods in a cluster that each have metrics of their own; behind a Service, another one would answer each time.

    Attributes:
        name: What they are called, as label `app.kubernetes.io/name`.
        port: Theirs.
        each: Host name that leads to each of them (a headless Service's), with a port that is named `metrics`.
    """

    name: str
    port: int
    each: str | None = None


@dataclass(frozen=True)
class ScrapeTarget:
    """One endpoint with metrics in Prometheus form.

    Attributes:
        job: The `job` label.
        address: `host:port`.
        path: Of the metrics.
        username: For basic auth, if it is needed; the password is `password`.
        pods: In a cluster, where they are rather to be had than at `address`.
    """

    job: str
    address: Output[str]
    path: str = "/metrics"
    username: str | None = None
    password: SecretReference | None = None
    pods: MetricsPods | None = None


@dataclass(frozen=True)
class Reachable:
    """What every part says of itself.

    Attributes:
        after: Local processes that must be ready before a consumer of this part is started.
        scrape: Where its metrics are.
        scrape_files: Files (Prometheus file_sd) that name more targets, by job.
        scrape_urls: Addresses (Prometheus http_sd) that name more targets, by job.
        scrape_pods: The pods that these addresses name, by job.
        probe: Addresses that answer 200 while the part is healthy, by name: for parts without metrics of their own.
    """

    after: tuple[str, ...] = field(default=(), kw_only=True)
    scrape: tuple[ScrapeTarget, ...] = field(default=(), kw_only=True)
    scrape_files: Mapping[str, Output[str]] = field(default_factory=dict, kw_only=True)
    scrape_urls: Mapping[str, Output[str]] = field(default_factory=dict, kw_only=True)
    scrape_pods: Mapping[str, MetricsPods] = field(default_factory=dict, kw_only=True)
    probe: Mapping[str, Output[str]] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Images(Reachable):
    """Container images.

    Attributes:
        references: By what they are for (`tracking-server`, …): where each is, by digest.
        pull_secrets: Names of Secrets with logins of their registries.
    """

    references: Mapping[str, str]
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterAccess(Reachable):
    """A namespace in a Kubernetes cluster, and how workloads are placed there.

    Attributes:
        namespace: Known once it is there, closed, and the cluster was found fit.
        domain: Of the cluster's own names.
        storage_class: Of volumes; None: the cluster's default.
        tolerations: As pods have them.
        api_ports: Where the cluster's API server is reached from pods.
        ready_seconds: How long a workload may take until it is ready.
        kubeconfig: The file on this machine that leads to it; None: the account of the pod that this runs in.
        context: Of that file.
    """

    provider: ProviderResource
    namespace: Output[str]
    namespace_name: str
    domain: str = "cluster.local"
    storage_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str | int], ...] = ()
    api_ports: tuple[int, ...] = (443, 6443)
    ready_seconds: int = 600
    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True)
class EdgeEndpoint(Reachable):
    """Where a cluster's platform is reached from outside: a Gateway, to which parts attach their routes.

    Attributes:
        gateway: The Gateway's name; known once it is there.
        gateway_namespace: Where it is.
        listener: Name of its listener (`sectionName`) that serves the hosts.
        scheme: `https`, or `http` without a certificate.
        hosts: By part (`tracking_server`, `serving_cluster`): the host name that its clients ask for.
        port: Where the Gateway listens.
        router_namespace: Where the pods run that carry the requests.
        policies: Whose objects say what Gateway API can't (retries, logins): `envoy_gateway`, or None for nobody's.
        sign_in: The `oidc` of a SecurityPolicy for what people open in a browser; None: nobody is sent anywhere.
    """

    gateway: Output[str]
    gateway_namespace: str
    listener: str
    scheme: str
    hosts: Mapping[str, str]
    port: int
    router_namespace: str
    policies: str | None = None
    sign_in: Mapping[str, Any] | None = None

    def url(self, part: str) -> str:
        """Where clients ask a part."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{self.hosts[part]}" + ("" if self.port == usual else f":{self.port}")


@dataclass(frozen=True)
class DatabaseEndpoint(Reachable):
    """A PostgreSQL server with a database and a role per consumer: `mlflow`, `mlflow_auth`, `modelyard`, `monitor`.

    Attributes:
        sslmode: https://www.postgresql.org/docs/current/libpq-ssl.html
        certificate_authority: A Secret's value with the certificates (PEM) that the server's is checked against.
    """

    host: str
    port: Output[int]
    databases: Mapping[str, DatabaseAccess]
    sslmode: str = "prefer"
    certificate_authority: SecretReference | None = None


@dataclass(frozen=True)
class ArtifactLocation(Reachable):
    """A versioned bucket behind an S3 API.

    Attributes:
        endpoint_url: None is AWS's own, in clusters.
        direct: Whether the platform's clients reach it, too, not only its parts.
        certificate_authority: A Secret's value with the certificates (PEM) that the store's is checked against; None:
            public authorities. In clusters.
    """

    endpoint_url: Output[str] | Output[str | None]
    region: str
    bucket: Output[str]
    access_key: SecretReference
    secret_key: SecretReference
    direct: bool = True
    certificate_authority: SecretReference | None = None


@dataclass(frozen=True)
class TrackingEndpoint(Reachable):
    """An MLflow server that proxies artifacts.

    Attributes:
        username: Of its administrator; None: everybody may do everything.
        reader: A user who may read everything and change nothing, for parts that fetch models; None: as above.
    """

    url: Output[str]
    username: str | None = None
    password: SecretReference | None = None
    reader: str | None = None
    reader_password: SecretReference | None = None


@dataclass(frozen=True)
class ServingEndpoint(Reachable):
    """The router in front of the model servers, and the agent that keeps them deployed.

    Attributes:
        api_keys: By client; empty: the router asks for none.
    """

    url: Output[str]
    admin_url: Output[str]
    agent_url: Output[str]
    api_keys: Mapping[str, SecretReference] = field(default_factory=dict)


@dataclass(frozen=True)
class MonitoringEndpoint(Reachable):
    """Prometheus, Alertmanager and the Pushgateway."""

    prometheus_url: Output[str]
    alertmanager_url: Output[str]
    pushgateway_url: Output[str]
