"""Registry database as a process: PostgreSQL on loopback.

Creates: data folder, a generated secret per role, the server, a role and a database for each consumer.
"""

from typing import Annotated, Literal

from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field

from modelyard_infra.contracts import DatabaseAccess, DatabaseEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.registry_database import _programs
from modelyard_infra.resources.databases import Databases
from modelyard_infra.resources.generated_secret import GeneratedSecret
from modelyard_infra.resources.ports import Ports
from modelyard_infra.resources.postgres_data import PostgresData
from modelyard_infra.resources.process import Process

NEEDS: tuple[str, ...] = ()
HOST = "127.0.0.1"
RESERVED_CONNECTIONS = 5  # for the superuser: making roles, snapshots, a person's psql


class Settings(PartSettings):
    """Settings of a PostgreSQL that runs as a process.

    Attributes:
        port: On loopback; left out, 54320 or a free one.
        durability: `fast` loses data in a crash of the machine (never of a process): for throw-away platforms.
        shared_buffers_mib: PostgreSQL's own cache, in MiB.
        mlflow_connections: How many the tracking server may open; with `auth`, as many again for its users' database.
        modelyard_connections: How many `modelyard` and the serving agent may open together.
    """

    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    durability: Literal["durable", "fast"] = "durable"
    shared_buffers_mib: Annotated[int, Field(ge=16)] = 64
    mlflow_connections: Annotated[int, Field(ge=12, le=500)] = 40  # three stores, each two pooled and two more
    modelyard_connections: Annotated[int, Field(ge=5, le=500)] = 20


class ProcessDatabase(ComponentResource):
    """PostgreSQL on this machine, for this machine only."""

    endpoint: DatabaseEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:registry_database:Process", inputs.name, None, opts)
        self._inputs = inputs
        self._child = ResourceOptions(parent=self)
        self._folder = inputs.local.resource.folder
        self._port = Ports(
            f"{inputs.name}-ports",
            folder=self._folder,
            part=inputs.name,
            wanted={"postgres": settings.port},
            usual={"postgres": 54320},
            opts=self._child,
        ).number("postgres")
        superuser = self._secret("superuser")
        owners = self._owners(settings)
        server = self._server(settings, superuser, sum(access.connections for access in owners.values()))
        databases = Databases(
            f"{inputs.name}-databases",
            folder=self._folder,
            host=HOST,
            port=self._port,
            superuser_password=superuser.name,
            owners=[_owner(access) for access in owners.values()],
            opts=ResourceOptions(parent=self, depends_on=[server]),
        )
        # The port is known early, but nobody may have it before the databases behind it exist.
        port = Output.all(self._port, databases.names).apply(lambda known: int(known[0]))
        self.endpoint = DatabaseEndpoint(HOST, port, owners, after=("postgres",))
        self.register_outputs({"port": port})

    def _secret(self, role: str) -> GeneratedSecret:
        name = f"{self._inputs.name}-{role}"
        return GeneratedSecret(f"{name}-password", folder=self._folder, name=name, opts=self._child)

    def _owners(self, settings: Settings) -> dict[str, DatabaseAccess]:
        connections = {
            "mlflow": settings.mlflow_connections,
            "mlflow_auth": settings.mlflow_connections,
            "modelyard": settings.modelyard_connections,
            "monitor": 3,
        }
        return {
            role: DatabaseAccess("postgres" if role == "monitor" else role, role, self._secret(role).reference, limit)
            for role, limit in connections.items()
        }

    def _server(self, settings: Settings, superuser: GeneratedSecret, connections: int) -> Process:
        folder, programs = self._inputs.local.path / self._inputs.name, _programs.programs()
        account = _programs.account(folder / "data")
        fast = settings.durability == "fast"
        data = PostgresData(
            f"{self._inputs.name}-data",
            folder=self._folder,
            path=f"{self._inputs.name}/data",
            initdb=str(programs / "initdb"),
            major=_programs.MAJOR,
            account=account,
            password=superuser.name,
            fast=fast,
            keep=self._inputs.protect,
            opts=ResourceOptions(parent=self, protect=self._inputs.protect, depends_on=[superuser]),
        )
        config = {
            "listen_addresses": f"'{HOST}'",
            "unix_socket_directories": "''",
            "password_encryption": "'scram-sha-256'",
            "hba_file": f"'{folder}/pg_hba.conf'",
            "max_connections": connections + RESERVED_CONNECTIONS,
            "superuser_reserved_connections": RESERVED_CONNECTIONS,
            "dynamic_shared_memory_type": "mmap",  # in the data folder, where nothing is left behind after a kill
            "shared_buffers": f"{settings.shared_buffers_mib}MB",
            "log_timezone": "'UTC'",
            "timezone": "'UTC'",
        }
        if fast:
            # Not synchronous_commit: without it, kill -9 of the server loses what was acknowledged.
            config |= {"fsync": "off", "full_page_writes": "off"}
        lines = "".join(f"{key} = {value}\n" for key, value in config.items())
        return Process(
            f"{self._inputs.name}-postgres",
            folder=self._folder,
            name="postgres",
            part=self._inputs.name,
            command=[str(programs / "postgres"), "-D", str(folder / "data"), f"--config-file={folder}/postgresql.conf"],
            files={
                f"{self._inputs.name}/postgresql.conf": self._port.apply(lambda port: f"port = {port}\n{lines}"),
                f"{self._inputs.name}/pg_hba.conf": f"host all all {HOST}/32 scram-sha-256\n",
            },
            ports=[self._port],
            account=account,
            ready={
                "kind": "command",
                "command": [str(programs / "pg_isready"), "-q", "-h", HOST, "-p", self._port.apply(str)],
            },
            stop_signal="INT",
            stop_seconds=30,
            opts=ResourceOptions(parent=self, depends_on=[data]),
        )


def _owner(access: DatabaseAccess) -> dict[str, object]:
    return {
        "user": access.user,
        "database": access.name,
        "password": access.password.name,
        "connections": access.connections,
        "member_of": ["pg_monitor"] if access.user == "monitor" else [],
    }


def build(settings: Settings, inputs: PartInputs) -> DatabaseEndpoint:
    """Build the part."""
    return ProcessDatabase(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
