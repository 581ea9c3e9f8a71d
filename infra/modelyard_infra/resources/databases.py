"""Roles and databases inside a PostgreSQL server: one of each for every consumer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.processes.files import SecretFiles
from modelyard.provisioning import databases
from modelyard_infra.resources.local import Inputs, LocalProvider

if TYPE_CHECKING:
    import psycopg


class DatabasesProvider(LocalProvider):
    """Creates what is missing and sets passwords and limits; deleting leaves them to the data folder's fate."""

    replaced_by = ("folder",)
    outputs = ("names",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#databases"

    def make(self, inputs: Inputs) -> Inputs:
        secrets = SecretFiles(Path(inputs["folder"]) / "secrets")
        with _superuser(inputs) as connection:
            for owner in inputs["owners"]:
                databases.ensure(connection, _owner(inputs, owner), secrets.read(owner["password"]))
        return {"names": [owner["user"] for owner in inputs["owners"]]}

    def difference(self, inputs: Inputs) -> str | None:
        import psycopg

        secrets = SecretFiles(Path(inputs["folder"]) / "secrets")
        for owner in inputs["owners"]:
            try:
                _connect(inputs, owner["user"], secrets.read(owner["password"]), owner["database"]).close()
            except psycopg.OperationalError as error:
                return f"{owner['user']} can't use its database: {str(error).splitlines()[-1]}"
        return None

    def unmake(self, inputs: Inputs) -> None:
        pass


def _owner(inputs: Inputs, owner: Mapping[str, Any]) -> databases.Owner:
    file = SecretFiles(Path(inputs["folder"]) / "secrets").path(owner["password"])
    return databases.Owner(
        user=owner["user"],
        database=owner["database"],
        connections=int(owner["connections"]),
        member_of=tuple(owner["member_of"]),
        password_file=file,
    )


def _superuser(inputs: Inputs) -> "psycopg.Connection[Any]":
    import psycopg

    secrets, name = SecretFiles(Path(inputs["folder"]) / "secrets"), inputs["superuser_password"]
    try:
        return _connect(inputs, "postgres", secrets.read(name), "postgres")
    except psycopg.OperationalError as error:
        raise ModelyardError(
            f"the database's superuser can't log in: {str(error).splitlines()[-1]}",
            fix=f"put the secret that the database was made with back into {secrets.path(name)}",
        ) from None


def _connect(inputs: Inputs, user: str, password: str, database: str) -> "psycopg.Connection[Any]":
    """Connect with nothing of the caller's own PG* settings."""
    import psycopg

    return psycopg.connect(
        host=inputs["host"],
        port=int(inputs["port"]),
        user=user,
        password=password,
        dbname=database,
        autocommit=True,
        connect_timeout=10,
        sslmode="disable",
        options="",
    )


class Databases(Resource, module="modelyard", name="Databases"):
    """The roles and databases of one server.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        host: Of the server.
        port: Of the server.
        superuser_password: Name of the superuser's secret.
        owners: A mapping each of `user`, `database`, `password` (name of a secret), `connections` and `member_of`.
    """

    names: Output[list[str]]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        host: str,
        port: Input[int],
        superuser_password: Input[str],
        owners: Sequence[Mapping[str, Any]],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "host": host,
            "port": port,
            "superuser_password": superuser_password,
            "owners": [dict(owner) for owner in owners],
            "names": None,
        }
        super().__init__(DatabasesProvider(), resource_name, inputs, opts)
