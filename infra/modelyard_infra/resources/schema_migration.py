"""The migration of MLflow's database schema: a step of its own, before the server of that version starts."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.processes import Supervisor
from modelyard.processes.launch import PLATFORM_VARIABLE
from modelyard_infra.resources.local import Inputs, LocalProvider

LAST_LINES = 25


class SchemaMigrationProvider(LocalProvider):
    """Runs the migration in a process of its own, so that no other provider pays for importing MLflow."""

    replaced_by = ("folder",)
    outputs = ("revision",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#schema:{inputs['uri']}"

    def mend(self, inputs: Inputs) -> Inputs:
        # What the old server would write between the snapshot and the migration would be in neither.
        Supervisor(Path(inputs["folder"])).pause(inputs["server"])
        return self.make(inputs)

    def make(self, inputs: Inputs) -> Inputs:
        folder = Path(inputs["folder"])
        command = [
            *(sys.executable, "-m", "modelyard.provisioning.mlflow_schema"),
            *("--uri", inputs["uri"], "--snapshots", str(folder / "snapshots"), "--pg-dump", inputs["pg_dump"]),
        ]
        mark = {PLATFORM_VARIABLE: str(folder), "PATH": os.environ.get("PATH", os.defpath)}
        done = subprocess.run(command, env=inputs["env"] | mark, capture_output=True, text=True)
        log = folder / "logs" / "schema-migration.log"
        log.write_text(done.stderr)
        log.chmod(0o600)
        if done.returncode != 0:
            last = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
            raise ModelyardError(
                f"the migration of MLflow's schema failed. The last lines of {log}:\n{last}",
                fix="mend what they name and repeat; back to the snapshot: docs/runbooks/schema-migration-failed.md",
            )
        return {"revision": done.stdout.strip()}

    def difference(self, inputs: Inputs) -> str | None:
        import psycopg

        try:
            with psycopg.connect(inputs["uri"], passfile=inputs["env"]["PGPASSFILE"], connect_timeout=10) as connection:
                found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.Error as error:
            return f"the schema can't be read: {error}"
        return None if found and found[0] == inputs["revision"] else "the schema is not the one it was migrated to"

    def unmake(self, inputs: Inputs) -> None:
        pass


class SchemaMigration(Resource, module="modelyard", name="SchemaMigration"):
    """Brings MLflow's schema to the version of the installed MLflow.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        version: MLflow's version; another one runs the migration again.
        uri: The database, without a password.
        env: Environment for the database driver (where its password file is).
        server: The process that uses the database; it is stopped before a migration.
        pg_dump: The program that takes the snapshot before an existing schema is touched.
    """

    revision: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        version: str,
        uri: Input[str],
        env: Mapping[str, Input[str]],
        pg_dump: str,
        server: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "version": version,
            "uri": uri,
            "env": dict(env),
            "pg_dump": pg_dump,
            "server": server,
            "revision": None,
        }
        super().__init__(SchemaMigrationProvider(), resource_name, inputs, opts)
