"""Tracking server as a process: MLflow on loopback, artifacts proxied.

Creates: a generated session key (and, with `auth`, admin secret), the schema migration, the server.
"""

from importlib.metadata import version
from typing import Annotated

from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard.tracking import environment as tracking_environment
from modelyard.tracking.settings import IssuerSettings
from modelyard_infra.contracts import DatabaseAccess, ScrapeTarget, TrackingEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._tokens import UsersOf
from modelyard_infra.parts.registry_database import _programs
from modelyard_infra.resources.generated_secret import GeneratedSecret
from modelyard_infra.resources.ports import Ports
from modelyard_infra.resources.private_file import PrivateFile
from modelyard_infra.resources.process import Process
from modelyard_infra.resources.schema_migration import SchemaMigration

NEEDS = ("registry_database", "artifact_store")
ADMIN = "admin"
SERVER = ("-m", "uvicorn", "--host", "127.0.0.1", "--workers", "1", "--no-server-header", "--log-level", "warning")


class Settings(PartSettings):
    """Settings of an MLflow server that runs as a process.

    Attributes:
        port: On loopback; left out, 5000 or a free one.
        auth: Whether people and programs must log in; the admin's secret is generated.
        jwt: Whose tokens are a login, too.
        allowed_hosts: `Host` headers to accept besides the loopback ones.
        cors_allowed_origins: Web pages of which origins may call the server.
    """

    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    auth: bool = False
    jwt: UsersOf | None = None
    allowed_hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:\d+)?$")], ...] = ()
    cors_allowed_origins: tuple[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:-]+$")], ...] = ()

    @field_validator("jwt")
    @classmethod
    def _with_logins(cls, value: UsersOf | None, info: ValidationInfo) -> UsersOf | None:
        if value is not None and not info.data.get("auth"):
            raise ValueError("nobody has to log in: set `auth: true` too")
        return value


class ProcessServer(ComponentResource):
    """MLflow on this machine, for this machine only."""

    endpoint: TrackingEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:tracking_server:Process", inputs.name, None, opts)
        self._inputs, self._settings = inputs, settings
        self._child = ResourceOptions(parent=self)
        self._folder = inputs.local.resource.folder
        self._port = Ports(
            f"{inputs.name}-ports",
            folder=self._folder,
            part=inputs.name,
            wanted={"mlflow": settings.port},
            usual={"mlflow": 5000},
            opts=self._child,
        ).number("mlflow")
        session_key = self._secret("session-key")
        admin = self._secret("admin-password")
        passwords = self._passwords()
        server = self._server(session_key, admin, self._migration(passwords), passwords)
        url = Output.format(
            "http://127.0.0.1:{0}", Output.all(self._port, server.name).apply(lambda known: int(known[0]))
        )
        address = Output.format("127.0.0.1:{0}", self._port)
        username, password = (ADMIN, admin.reference) if settings.auth else (None, None)
        self.endpoint = TrackingEndpoint(
            url,
            username,
            password,
            after=("mlflow",),
            scrape=(ScrapeTarget("mlflow", address, username=username, password=password),),
        )
        self.register_outputs({"url": url})

    def _secret(self, what: str) -> GeneratedSecret:
        name = f"{self._inputs.name}-{what}"
        return GeneratedSecret(name, folder=self._folder, name=name, opts=self._child)

    def _passwords(self) -> PrivateFile:
        """The file that PostgreSQL's client library reads passwords from."""
        database = self._inputs.database
        lines = [
            Output.format(
                "{0}:{1}:{2}:{3}:${{secret:{4}}}\n",
                database.host,
                database.port,
                access.name,
                access.user,
                access.password.name,
            )
            for access in (database.databases["mlflow"], database.databases["mlflow_auth"])
        ]
        return PrivateFile(
            f"{self._inputs.name}-pgpass",
            folder=self._folder,
            path=f"{self._inputs.name}/pgpass",
            content=Output.concat(*lines),
            opts=self._child,
        )

    def _uri(self, access: DatabaseAccess) -> Output[str]:
        database = self._inputs.database
        return Output.format("postgresql://{0}@{1}:{2}/{3}", access.user, database.host, database.port, access.name)

    def _migration(self, passwords: PrivateFile) -> SchemaMigration:
        return SchemaMigration(
            f"{self._inputs.name}-schema",
            folder=self._folder,
            version=version("mlflow"),
            uri=self._uri(self._inputs.database.databases["mlflow"]),
            env={"PGPASSFILE": passwords.absolute},
            pg_dump=str(_programs.programs() / "pg_dump"),
            server="mlflow",
            opts=self._child,
        )

    def _server(
        self, session_key: GeneratedSecret, admin: GeneratedSecret, schema: SchemaMigration, passwords: PrivateFile
    ) -> Process:
        import sys

        name, auth = self._inputs.name, self._settings.auth
        app = ["--factory", "modelyard.tracking.app:create"] if auth else ["mlflow.server.fastapi_app:app"]
        url = Output.format("http://127.0.0.1:{0}", self._port)
        ready = (
            "/health" if auth else "/api/2.0/mlflow/experiments/search?max_results=1"
        )  # the second also asks the database
        files = {f"{name}/aws": self._aws_credentials()} | ({f"{name}/auth.ini": self._auth_config()} if auth else {})
        secret_env = {"MLFLOW_FLASK_SERVER_SECRET_KEY": session_key.name}
        return Process(
            f"{name}-mlflow",
            folder=self._folder,
            name="mlflow",
            part=name,
            command=[sys.executable, *SERVER, "--port", self._port.apply(str), *app],
            env=self._environment(passwords),
            secret_env=secret_env | ({"MLFLOW_AUTH_ADMIN_PASSWORD": admin.name} if auth else {}),
            files=files,
            ports=[self._port],
            ready={"kind": "http", "url": Output.concat(url, ready)},
            ready_seconds=120,
            after=(*self._inputs.database.after, *self._inputs.artifacts.after),
            opts=ResourceOptions(parent=self, depends_on=[schema]),
        )

    def _environment(self, passwords: PrivateFile) -> dict[str, Output[str] | str]:
        folder, artifacts = self._inputs.local.path / self._inputs.name, self._inputs.artifacts
        mlflow = self._inputs.database.databases["mlflow"]
        environment: dict[str, Output[str] | str] = {
            **tracking_environment.common(mlflow.connections),
            "_MLFLOW_SERVER_FILE_STORE": self._uri(mlflow),
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": Output.format("s3://{0}", artifacts.bucket),
            "prometheus_multiproc_dir": str(folder / "metrics"),
            "MLFLOW_SERVER_ALLOWED_HOSTS": self._allowed_hosts(),
            "MLFLOW_S3_ENDPOINT_URL": artifacts.endpoint_url.apply(str),
            "AWS_DEFAULT_REGION": artifacts.region,
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws"),
            "PGPASSFILE": passwords.absolute,
        }
        if self._settings.cors_allowed_origins:
            environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(self._settings.cors_allowed_origins)
        if self._settings.auth:
            environment["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
            environment |= tracking_environment.login((ADMIN,), self._issuer(), direct=True)
        return environment

    def _issuer(self) -> IssuerSettings | None:
        jwt = self._settings.jwt
        return IssuerSettings.model_validate(jwt.model_dump()) if jwt else None

    def _allowed_hosts(self) -> Output[str]:
        return self._port.apply(
            lambda port: ",".join((f"127.0.0.1:{port}", f"localhost:{port}", *self._settings.allowed_hosts))
        )

    def _aws_credentials(self) -> Output[str]:
        artifacts = self._inputs.artifacts
        return Output.format(
            "[default]\naws_access_key_id = ${{secret:{0}}}\naws_secret_access_key = ${{secret:{1}}}\n",
            artifacts.access_key.name,
            artifacts.secret_key.name,
        )

    def _auth_config(self) -> Output[str]:
        users = self._uri(self._inputs.database.databases["mlflow_auth"])
        return users.apply(lambda uri: tracking_environment.auth_config(uri, ADMIN))


def build(settings: Settings, inputs: PartInputs) -> TrackingEndpoint:
    """Build the part."""
    return ProcessServer(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
