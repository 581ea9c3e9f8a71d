"""What parts hand each other. A part knows these and never what is behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pulumi import Output


@dataclass(frozen=True)
class SecretReference:
    """Where a secret is kept; never the secret.

    Attributes:
        name: Its name among the platform's secrets.
        path: The file it lies in (local platforms).
    """

    name: Output[str]
    path: Output[str]


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
class ScrapeTarget:
    """One endpoint with metrics in Prometheus form.

    Attributes:
        job: The `job` label.
        address: `host:port`.
        path: Of the metrics.
        username: For basic auth, if it is needed; the password is `password`.
    """

    job: str
    address: Output[str]
    path: str = "/metrics"
    username: str | None = None
    password: SecretReference | None = None


@dataclass(frozen=True)
class Reachable:
    """What every part says of itself.

    Attributes:
        after: Local processes that must be ready before a consumer of this part is started.
        scrape: Where its metrics are.
        scrape_files: Files (Prometheus file_sd) that name more targets, by job.
        probe: Addresses that answer 200 while the part is healthy, by name: for parts without metrics of their own.
    """

    after: tuple[str, ...] = field(default=(), kw_only=True)
    scrape: tuple[ScrapeTarget, ...] = field(default=(), kw_only=True)
    scrape_files: Mapping[str, Output[str]] = field(default_factory=dict, kw_only=True)
    probe: Mapping[str, Output[str]] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class DatabaseEndpoint(Reachable):
    """A PostgreSQL server with a database and a role per consumer: `mlflow`, `mlflow_auth`, `modelyard`, `monitor`."""

    host: str
    port: Output[int]
    databases: Mapping[str, DatabaseAccess]


@dataclass(frozen=True)
class ArtifactLocation(Reachable):
    """A versioned bucket behind an S3 API."""

    endpoint_url: Output[str]
    region: str
    bucket: Output[str]
    access_key: SecretReference
    secret_key: SecretReference


@dataclass(frozen=True)
class TrackingEndpoint(Reachable):
    """An MLflow server that proxies artifacts."""

    url: Output[str]
    username: str | None = None
    password: SecretReference | None = None


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
