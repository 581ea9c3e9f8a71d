"""Settings of one model server. Plain dataclasses: importing a validation library would cost a replica's memory."""

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
TOKEN = "MODELYARD_MANAGEMENT_TOKEN"  # noqa: S105 (its name)
"""The environment variable with the token; not an argument: those can be read by everybody on the machine."""


@dataclass(frozen=True)
class ModelSettings:
    """One version of a model to serve.

    Attributes:
        name: Under which it is asked.
        version: As the registry counts; the folder's name if there is no registry.
        folder: The files that MLflow saved.
        manifest: A JSON file with the SHA-256 of each of them, if that is known.
        allow_pickle: Whether loading it may run code of its own.
    """

    name: str
    version: str
    folder: Path
    manifest: Path | None = None
    allow_pickle: bool = False


@dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Attributes:
        request_bytes: A larger body is answered with 413.
        waiting_requests: Requests that may wait for one model; further ones are answered with 429.
        waiting_bytes: Bodies that may be held at once; further ones are answered with 429.
        batch_rows: Rows that are predicted at once; a larger request is predicted in parts, between others.
        predict_seconds: A prediction that takes longer is answered with 504.
        receive_seconds: How long a client may take to send its request.
        idle_seconds: A connection without a request for so long is closed.
        connections: Further ones are closed at once.
        stuck: Predictions that never came back, after which the process ends to be started anew.
        memory_bytes: A process that holds more ends itself to be started anew; None: never.
    """

    request_bytes: int = 16 * MIB
    waiting_requests: int = 1024
    waiting_bytes: int = 256 * MIB
    batch_rows: int = 512
    predict_seconds: float = 60.0
    receive_seconds: float = 30.0
    idle_seconds: float = 75.0
    connections: int = 12_000
    stuck: int = 2
    memory_bytes: int | None = None


@dataclass(frozen=True)
class ServerSettings:
    """One model server.

    Attributes:
        models: What it serves; the first version of a name that is listed is the one asked without a version.
        host: Where it listens: loopback, or a pod's own address.
        port: V2 and `/invocations` over HTTP.
        management_port: Metrics, health and loading; None: there is none.
        grpc_port: V2 over gRPC; None: not at all.
        workers: Processes that share the port.
        drain_seconds: How long requests in progress may take once it was told to stop.
        proofs: Where it is remembered how a model may be asked.
        payload_log: `PayloadSettings` as JSON; None: nothing is recorded.
        token: Who brings it to the management port may load and unload models; None: nobody may.
    """

    models: tuple[ModelSettings, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    management_port: int | None = None
    grpc_port: int | None = None
    workers: int = 1
    drain_seconds: float = 10.0
    proofs: Path = field(default_factory=lambda: Path.home() / ".cache" / "modelyard" / "proofs")
    limits: Limits = Limits()
    payload_log: str | None = None
    token: str | None = field(default=None, repr=False)
