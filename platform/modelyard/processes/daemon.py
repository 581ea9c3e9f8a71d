"""The supervisord of one platform: started in a session of its own, asked through its socket."""

import fcntl
import http.client
import os
import resource
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import psutil

from modelyard.errors import ModelyardError
from modelyard.processes.files import write_private
from modelyard.processes.marked import lives, marked

OPEN_FILES = 16384  # each process's limit, as far as the machine's allows: a router has a socket per client
LONGEST_SOCKET_PATH = 99  # sun_path of unix(7), less its closing zero and the .<pid> that supervisord binds first
CALL_SECONDS = 10.0
POLL_SECONDS = 0.05


class Fault(IntEnum):
    """What supervisord answers with when it won't: the numbers of supervisor.xmlrpc.Faults."""

    BAD_NAME = 10
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    ALREADY_ADDED = 90


class StartFailed(ModelyardError):
    """A process did not become ready; carries the last lines it wrote."""


class Daemon:
    """One supervisord.

    Args:
        home: The folder of its socket, pid file, configuration and programs (`*.program`).
        logs: Where it logs.
        mark: What is in its environment, and nothing else but PATH.
    """

    def __init__(self, home: Path, *, logs: Path, mark: Mapping[str, str]) -> None:
        self._home, self._logs, self._mark = home, logs, mark
        self._socket = home / "supervisord.sock"

    def is_running(self) -> bool:
        """Whether it is alive."""
        return self._pid() is not None

    def ensure_running(self) -> None:
        """Start it if it is not alive.

        Raises:
            ModelyardError: the platform's folder can't hold it.
        """
        if self.is_running():
            return
        self.check_place()
        for folder in (self._home, self._logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.lock():
            if not self.is_running():
                self._start()

    def check_place(self) -> None:
        """Refuse a place whose socket's path would be too long.

        Raises:
            ModelyardError: it is.
        """
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_PATH:
            raise ModelyardError(
                f"the path of the platform's folder is too long for a socket: {self._home.parent}",
                fix=f"choose a shorter stack name or MODELYARD_HOME: {self._socket} must have at most "
                f"{LONGEST_SOCKET_PATH} bytes",
            )

    def kill(self) -> None:
        """End it at once; its children must have ended before."""
        pid = self._pid()
        if pid is not None:
            process = psutil.Process(pid)
            process.kill()  # it has nothing left to do, and takes two seconds over a polite request
            while lives(process):
                time.sleep(POLL_SECONDS / 5)
        for left in (self._socket, self._home / "supervisord.pid"):
            left.unlink(missing_ok=True)

    def _start(self) -> None:
        self._end_remains()
        self._socket.unlink(missing_ok=True)
        os.close(_private(self._logs / "supervisor.log"))
        config = self._home / "supervisord.conf"
        write_private(config, self._config())
        # setsid: Ctrl-C in the terminal that ran `up` must not reach the platform.
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), **self._mark},
            stdin=subprocess.DEVNULL,
            stdout=os.fdopen(_private(self._logs / "supervisor.out"), "w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=True,
        )
        deadline = time.monotonic() + 15
        while not self.is_running():
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"the supervisor of {self._home.parent} did not start within 15 s",
                    fix=f"what it said:\n{(self._logs / 'supervisor.out').read_text()}",
                )
            time.sleep(POLL_SECONDS)

    def _end_remains(self) -> None:
        """One that hangs, or whose socket was deleted, can't be asked; its children hold the ports."""
        remains = [process for name, value in self._mark.items() for process in marked(name, value)]
        for process in remains:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        while any(map(lives, remains)):
            time.sleep(POLL_SECONDS)

    def _config(self) -> str:
        user = "user=root\n" if os.geteuid() == 0 else ""
        open_files = min(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        return (
            f"[supervisord]\nidentifier=modelyard\npidfile={self._home}/supervisord.pid\n{user}"
            f"logfile={self._logs}/supervisor.log\nlogfile_maxbytes=1MB\nlogfile_backups=1\nloglevel=info\n"
            f"childlogdir={self._logs}\numask=077\nminfds={open_files}\nnocleanup=true\n"
            f"[unix_http_server]\nfile={self._socket}\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[include]\nfiles={self._home}/*.program\n"
        ).replace("%", "%%")

    def _pid(self) -> int | None:
        """The supervisor's process id if it is alive and answers."""
        try:
            pid = int((self._home / "supervisord.pid").read_text())
            process = psutil.Process(pid)
            if not lives(process) or "supervisor.supervisord" not in process.cmdline():
                return None
            return int(self.call("getPID"))
        except (OSError, ValueError, psutil.Error, xmlrpc.client.Error):
            return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from changing its configuration meanwhile."""
        with os.fdopen(_private(self._home / "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def infos(self) -> list[dict[str, Any]]:
        """What it says of each program; nothing if it is not there to ask."""
        try:
            return cast(list[dict[str, Any]], self.call("getAllProcessInfo"))
        except (OSError, xmlrpc.client.Error):
            return []

    def info(self, name: str) -> dict[str, Any]:
        """What it says of one program; nothing if it does not know it."""
        try:
            return cast(dict[str, Any], self.call("getProcessInfo", name))
        except (OSError, xmlrpc.client.Error):
            return {}

    def call(self, method: str, *args: Any, seconds: float = CALL_SECONDS) -> Any:
        """Call a method of its XML-RPC interface.

        Args:
            method: Its name.
            args: What it takes.
            seconds: How long to wait for the answer.

        Raises:
            xmlrpc.client.Fault: it won't.
            OSError: it is not there.
        """
        with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self._socket, seconds)) as proxy:
            return getattr(proxy.supervisor, method)(*args)

    def tell(self, method: str, *args: Any, ignore: Collection[Fault], seconds: float = CALL_SECONDS) -> None:
        """Call a method for what it does; the named refusals mean that it is so already."""
        try:
            self.call(method, *args, seconds=seconds)
        except xmlrpc.client.Fault as error:
            if error.faultCode not in ignore:
                raise


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a deadline."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=self._seconds)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(self._seconds)
        connection.sock.connect(str(self._path))
        self._connection = host, connection
        return connection


def _private(path: Path) -> int:
    """Open a file that only its owner may read; returns its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
