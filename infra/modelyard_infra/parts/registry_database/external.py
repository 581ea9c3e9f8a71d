"""Registry database on a PostgreSQL that is there already, run by a cloud, another team or an operator.

Creates: generated secrets and a Job that makes a role and a database for each consumer; or, with `databases`, a Job
that looks whether the given ones can be used. Pods are let out to that server.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pulumi import ComponentResource, Resource, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.contracts import DatabaseAccess, DatabaseEndpoint, SecretReference
from modelyard_infra.field_types import Port, SecretField, SecretName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._elsewhere import Authority, Place, authority, open_way, secret
from modelyard_infra.parts.registry_database import _roles
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.objects import Objects

NEEDS = ("images", "cluster")
IMAGES = ("agent",)
PART = "registry-database"
LONGEST_PREFIX = 48  # PostgreSQL's names have 63 letters
Connections = Annotated[int, Field(ge=5, le=2000)]


class Administrator(PartSettings):
    """Who makes the platform's roles and databases: no superuser, but with CREATEROLE and CREATEDB.

    Attributes:
        secret: A Secret of the platform's namespace.
        password_field: Which of its fields has the password.
        user_field: Which has the user's name, unless `user` says it.
        user: The user's name.
        database: One that the user may connect to.
    """

    secret: SecretName
    password_field: SecretField = "password"  # noqa: S105 - its name
    user_field: SecretField = "username"
    user: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    database: Annotated[str, Field(min_length=1, max_length=63)] = "postgres"


class Given(PartSettings):
    """A database that somebody made, and its user.

    Attributes:
        name: The database's.
        user: Who may make tables there.
        secret: A Secret of the platform's namespace.
        password_field: Which of its fields has the user's password.
        connections: How many the user may open at a time.
    """

    name: Annotated[str, Field(min_length=1, max_length=63)]
    user: Annotated[str, Field(min_length=1, max_length=63)]
    secret: SecretName
    password_field: SecretField = "password"  # noqa: S105 - its name
    connections: Annotated[int, Field(ge=12, le=2000)] = 80


class GivenDatabases(PartSettings):
    """A database for each consumer; `monitor` may be any that its user may connect to."""

    mlflow: Given
    mlflow_auth: Given
    modelyard: Given
    monitor: Given


class Settings(PartSettings):
    """Settings of a PostgreSQL that is there.

    Attributes:
        host: As its certificate has it.
        port: Where it listens.
        sslmode: `verify-full`; `verify-ca` takes certificates for other hosts, `require` any certificate at all.
        certificate_authority: Who signed the server's certificate.
        unencrypted: Talk without TLS: passwords' proofs and all data go over the network as they are.
        administrator: Who makes roles and databases.
        databases: Those that somebody made, where nobody may make any.
        prefix: Of the names of roles and databases; left out, the namespace's name. Another one means other, empty
            databases.
        mlflow_connections: How many all tracking servers together may open; as many again for their users' database.
        modelyard_connections: How many `modelyard` and the serving agent may open together.
        reached_at: Where it is, for NetworkPolicies; left out, at `host` if that is an address, else anywhere.
    """

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{1,253}$")]
    port: Port = 5432
    certificate_authority: Authority | None = None
    unencrypted: bool = False
    sslmode: Literal["verify-full", "verify-ca", "require"] = "verify-full"
    databases: GivenDatabases | None = None
    administrator: Administrator | None = None
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=LONGEST_PREFIX)] | None = None
    mlflow_connections: Annotated[int, Field(ge=12, le=2000)] = 80
    modelyard_connections: Connections = 20
    reached_at: Place | None = None

    model_config = PartSettings.model_config | {"validate_default": True}

    @field_validator("sslmode")
    @classmethod
    def _checked(cls, value: str, info: ValidationInfo) -> str:
        checks = value.startswith("verify") and not info.data.get("unencrypted")
        if checks and info.data.get("certificate_authority", 0) is None:
            raise ValueError(
                "there is no `certificate_authority` to check the server's certificate with. `require` would take "
                "anybody's, `unencrypted: true` does without TLS"
            )
        return value

    @field_validator("administrator")
    @classmethod
    def _one_way(cls, value: Administrator | None, info: ValidationInfo) -> Administrator | None:
        if "databases" in info.data and (value is None) == (info.data["databases"] is None):
            raise ValueError(
                "name either `administrator`, who makes databases, or `databases` that are there; both by the Secrets "
                "that their passwords are in"
            )
        return value


def place(settings: Settings) -> dict[str, str]:
    """What says which databases are meant; the server may get another name, and be the same."""
    return {} if settings.databases else {"prefix": settings.prefix or "(the namespace's name)"}


class ExternalDatabase(ComponentResource):
    """Somebody else's PostgreSQL, with databases of the platform's."""

    endpoint: DatabaseEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        before = inputs.was("StatefulSet", "CloudNativePg", opts=opts)
        super().__init__("modelyard:registry_database:External", inputs.name, None, before)
        self._settings, self._inputs = settings, inputs
        self._objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        open_way(self._objects, settings.reached_at, settings.host, settings.port)
        self._authority = authority(self._objects, f"{PART}-ca", settings.certificate_authority)
        sslmode = "disable" if settings.unencrypted else settings.sslmode
        server = {"host": settings.host, "port": settings.port, "sslmode": sslmode}
        if settings.databases:
            databases, job = self._given(settings.databases, server)
        else:
            assert settings.administrator
            databases, job = self._made(settings.administrator, server)
        port = _roles.known_after(job, settings.port)
        self.endpoint = DatabaseEndpoint(
            settings.host, port, databases, sslmode=sslmode, certificate_authority=self._authority
        )
        self.register_outputs({"port": port})

    def _given(self, wanted: GivenDatabases, server: Mapping[str, Any]) -> tuple[dict[str, DatabaseAccess], Resource]:
        given = {
            role: DatabaseAccess(one.name, one.user, secret(one.secret, one.password_field), one.connections)
            for role, one in wanted
        }
        return given, _roles.look(PART, self._objects, given, server=server, certificate_authority=self._authority)

    def _made(
        self, administrator: Administrator, server: Mapping[str, Any]
    ) -> tuple[dict[str, DatabaseAccess], Resource]:
        settings, namespace = self._settings, self._inputs.cluster.namespace_name
        owners = _roles.passwords(
            PART,
            self._objects,
            _roles.limits(settings.mlflow_connections, settings.modelyard_connections),
            self,
            prefix=f"{settings.prefix or own_prefix(namespace)}_",
            common=administrator.database,
        )
        files = {"mark_file": self._mark()}
        if administrator.user is None:
            files["user_file"] = secret(administrator.secret, administrator.user_field)
        job = _roles.job(
            PART,
            self._objects,
            owners,
            server=dict(server) | {"user": administrator.user, "database": administrator.database, "mark": namespace},
            superuser=secret(administrator.secret, administrator.password_field),
            certificate_authority=self._authority,
            after=[],
            files=files,
            keep_failed=True,
        )
        return owners, job

    def _mark(self) -> SecretReference:
        """What roles of this platform are known by: another one may have the same name, in another cluster."""
        mark = GeneratedPassword(f"{PART}-mark", length=12, opts=ResourceOptions(parent=self))
        return self._objects.secret(f"{PART}-mark", {"mark": mark.value})["mark"]


def own_prefix(namespace: str) -> str:
    """A namespace's name as a prefix; too long ones get a checksum instead of their end."""
    name = namespace.replace("-", "_")
    if len(name) <= LONGEST_PREFIX:
        return name
    return f"{name[: LONGEST_PREFIX - 9]}_{hashlib.sha256(namespace.encode()).hexdigest()[:8]}"


def build(settings: Settings, inputs: PartInputs) -> DatabaseEndpoint:
    """Build the part."""
    return ExternalDatabase(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
