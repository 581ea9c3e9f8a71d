"""Settings of the serving cluster: the router (Envoy) and the agent that feeds it.

Whoever provisions the platform writes `AgentSettings` as JSON for `python -m modelyard.serving.agent FILE`, and
starts Envoy on `envoy.bootstrap(settings.router)`. Both must be given the same `RouterSettings`.
"""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Settings):
    """The database that holds what should be served.

    Attributes:
        sslmode: https://www.postgresql.org/docs/current/libpq-ssl.html
        sslrootcert: Certificates (PEM) that the server's is checked against.
    """

    host: str = "127.0.0.1"
    port: Port
    name: str = "modelyard"
    user: str = "modelyard"
    password_file: Path
    sslmode: str = "prefer"
    sslrootcert: Path | None = None


class TrackingSettings(Settings):
    """The tracking server that models are downloaded from."""

    url: str
    username: str | None = None
    password_file: Path | None = None


class TlsSettings(Settings):
    """The router's certificate, PEM; the agent hands renewed files to Envoy.

    Attributes:
        certificate_file: The certificate with its chain.
        private_key_file: Its key.
    """

    certificate_file: Path
    private_key_file: Path


class JwtSettings(Settings):
    """Whose tokens are taken.

    Attributes:
        issuer: What their `iss` has to be.
        audiences: One of these has to be in their `aud`.
        jwks_file: The issuer's public keys (JWKS).
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks_file: Path


class RouterSettings(Settings):
    """Envoy in front of the replicas.

    Attributes:
        port: Where requests come in.
        admin_port: Envoy's admin interface (metrics at `/stats/prometheus`); always on loopback.
        address: Where `port` is bound.
        folder: Where the agent writes routes, clusters and endpoints, and Envoy watches for them.
        max_request_mib: A larger request body is answered with 413.
        request_timeout_seconds: A prediction that takes longer is answered with 504.
        receive_timeout_seconds: How long a client may take to send its request.
        max_connections: Connections from clients; further ones are closed at once.
        max_pending_requests: Requests that may wait for each model version; further ones are answered with 503.
        grpc: Whether replicas answer V2 over gRPC too, on a port of its own, and the router passes such requests on.
        tls: None: requests come in as they are.
        api_keys: Files with a key each, by client; empty: no key is needed.
        jwt: None: no token is needed.
    """

    port: Port
    admin_port: Port
    address: str = "127.0.0.1"
    folder: Path
    max_request_mib: PositiveInt = 16
    request_timeout_seconds: PositiveFloat = 60
    receive_timeout_seconds: PositiveFloat = 30
    max_connections: PositiveInt = 4096
    max_pending_requests: PositiveInt = 1024
    grpc: bool = False
    tls: TlsSettings | None = None
    api_keys: dict[str, Path] = Field(default_factory=dict)
    jwt: JwtSettings | None = None


class ReplicaSettings(Settings):
    """How one model-server process is started.

    Attributes:
        python: The interpreter of the environment that has the model server.
        threads: Threads per replica for numerical libraries.
        ready_seconds: A replica that isn't ready by then has failed.
        stop_seconds: How long one may take to finish its last requests.
        allow_pickle: Models whose files may run code when they are loaded, by name.
        payload_log: What is recorded and where to: `modelyard.serving.payloads.PayloadSettings` as JSON; None: nothing.
    """

    python: Path = Path(sys.executable)
    threads: PositiveInt = 1
    ready_seconds: PositiveFloat = 120
    stop_seconds: PositiveFloat = 10
    allow_pickle: tuple[str, ...] = ()
    payload_log: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of every model server's process, wherever it runs."""
        return numeric_environment(self.threads)


def numeric_environment(threads: int) -> dict[str, str]:
    """What keeps numerical libraries from taking every core for each of several processes.

    Args:
        threads: For each process.
    """
    libraries = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return libraries | {"MALLOC_ARENA_MAX": "2", "PYTHONSAFEPATH": "1"}


class AgentSettings(Settings):
    """The serving agent of one platform.

    Attributes:
        platform_folder: The folder of the platform's supervisor; replicas are put into that.
        process_name: The agent's own name there: when that is removed, its replicas are too.
        port: Where the agent answers `/health` and `/metrics`, on loopback.
        drain_seconds: A replica that no new request goes to is stopped once it is idle, or at the latest after this.
        tick_seconds: How often to look when nothing was announced.
        metrics_targets_file: Where to list the replicas for Prometheus (file_sd); None: nowhere.
    """

    platform_folder: Path
    process_name: str = "serving-agent"
    port: Port
    database: DatabaseSettings
    tracking: TrackingSettings
    router: RouterSettings
    replica: ReplicaSettings = ReplicaSettings()
    drain_seconds: PositiveFloat = 65
    tick_seconds: PositiveFloat = 1.0
    metrics_targets_file: Path | None = None

    @property
    def folder(self) -> Path:
        """What the agent keeps for itself."""
        return self.platform_folder / "serving"

    @property
    def models_folder(self) -> Path:
        """Where downloaded models lie."""
        return self.platform_folder / "models"
