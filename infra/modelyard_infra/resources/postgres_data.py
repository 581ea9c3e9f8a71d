"""The data folder of a PostgreSQL server that runs as a process."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.processes import launch
from modelyard.processes.files import SecretFiles, write_private
from modelyard.processes.postgres import release_shared_memory
from modelyard_infra.resources.local import Inputs, LocalProvider


class PostgresDataProvider(LocalProvider):
    """`initdb`, once; an existing folder of the same major version is kept."""

    replaced_by = ("folder", "path")

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#postgres:{inputs['path']}"

    def make(self, inputs: Inputs) -> Inputs:
        data = _data(inputs)
        found = _major(data)
        if found is None:
            _initialise(data, inputs)
        elif found != inputs["major"]:
            raise ModelyardError(
                f"{data} was written by PostgreSQL {found}, and this is {inputs['major']}",
                fix="dump with the old version and restore with the new one: docs/runbooks/postgresql-major-upgrade.md",
            )
        return {}

    def mend(self, inputs: Inputs) -> Inputs:
        if inputs["keep"] and _major(_data(inputs)) is None:
            raise ModelyardError(
                f"the data of a protected database is gone: {_data(inputs)}",
                fix="mount its disk, or restore it from a backup; `make down` gives the platform up",
            )
        return self.make(inputs)

    def difference(self, inputs: Inputs) -> str | None:
        return None if _major(_data(inputs)) == inputs["major"] else "the data folder is not there"

    def unmake(self, inputs: Inputs) -> None:
        release_shared_memory(_data(inputs))
        shutil.rmtree(_data(inputs), ignore_errors=True)


def _data(inputs: Inputs) -> Path:
    return Path(inputs["folder"], inputs["path"])


def _major(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def _initialise(data: Path, inputs: Inputs) -> None:
    """Beside its place, then moved there: what is in place is complete."""
    account = inputs["account"] if os.geteuid() == 0 else None
    fresh = data.with_name(f".{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    fresh.parent.chmod(0o711)  # whatever the umask: the server's account has to get to its own folder
    password = fresh.with_name(".superuser")
    secret = SecretFiles(Path(inputs["folder"]) / "secrets").read(inputs["password"])
    write_private(password, secret, account=account)
    try:
        if account:
            user = pwd.getpwnam(account)
            os.chown(fresh, user.pw_uid, user.pw_gid)
        command = [inputs["initdb"], "-D", str(fresh), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        command += ["--no-sync"] if inputs["fast"] else []
        if account:
            command = [sys.executable, "-I", "-S", launch.__file__, "--as", account, *command]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, env={"LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ModelyardError(
                f"initdb failed (exit code {done.returncode}):\n{done.stdout}{done.stderr}",
                fix="mend what it names, then repeat",
            )
        fresh.rename(data)
    finally:
        password.unlink(missing_ok=True)


class PostgresData(Resource, module="modelyard", name="PostgresData"):
    """The data folder of one PostgreSQL server.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        path: The data folder, below it.
        initdb: The program.
        major: PostgreSQL's major version.
        account: Owner of the data when the platform's owner is root.
        password: Name of the superuser's secret.
        fast: Whether to go without syncing to disk.
        keep: Whether to refuse to make it anew when it is gone.
    """

    path: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        path: str,
        initdb: str,
        major: str,
        account: str | None,
        password: Input[str],
        fast: bool,
        keep: bool,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "path": path,
            "initdb": initdb,
            "major": major,
            "account": account,
            "password": password,
            "fast": fast,
            "keep": keep,
        }
        super().__init__(PostgresDataProvider(), resource_name, inputs, opts)
