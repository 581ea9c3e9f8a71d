"""The supervisor of one platform: a supervisord in a session of its own, and what it keeps alive.

Everything lies below the platform's folder, so that a platform can be found, mended and swept from there
alone: `supervisor/NAME.json` is the specification of a process (it exists as long as the process should),
`supervisor/NAME.program` is what supervisord reads, `logs/NAME.log` what the process said.
"""

import fcntl
import os
import resource
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import psutil

from modelyard.errors import ModelyardError
from modelyard.processes import launch, ports
from modelyard.processes.files import SecretFiles, write_private
from modelyard.processes.readiness import is_ready
from modelyard.processes.spec import ProcessSpec

LOG_BYTES = 10 * 1024 * 1024
LOG_GENERATIONS = 3
OPEN_FILES = 16384  # each process's limit, as far as the machine's allows: a router has a socket per client
LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its closing zero
POLL_SECONDS = 0.05
STOPPED_ELSEWHERE_SECONDS = 60.0


class Fault(IntEnum):
    """What supervisord answers with when it won't: the numbers of supervisor.xmlrpc.Faults."""

    BAD_NAME = 10
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    ALREADY_ADDED = 90
    STILL_RUNNING = 91


class StartFailed(ModelyardError):
    """A process did not become ready; carries the last lines it wrote."""


@dataclass(frozen=True)
class ProcessStatus:
    """One supervised process as it is now.

    Attributes:
        state: `running`, `starting` (up but not ready), `backing off`, `stopped`.
        pid: Its process id, or None.
        starts: How often it was started since it was put here.
    """

    name: str
    state: str
    pid: int | None
    starts: int


class Supervisor:
    """Puts processes under supervision and takes them out again.

    Args:
        folder: The platform's folder; made if it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.secrets = SecretFiles(folder / "secrets")
        self._home = folder / "supervisor"
        self._socket = self._home / "supervisord.sock"

    # ---- one process

    def put(self, spec: ProcessSpec, *, wait: bool = True) -> None:
        """Make the process run exactly as specified; does nothing if it already does.

        If it can't be started, what ran before under that name is put back.

        Raises:
            StartFailed: it exited or was not ready in time, or one of its ports is taken.
        """
        self.ensure_running()
        if self.difference(spec) is None:
            return
        before = self.spec(spec.name)
        self._take_out(spec.name)
        try:
            self._check_ports(spec)
            logged = self._logged(spec.name)
            self._put_in(spec)
            if wait:
                self._wait_until_ready(spec, logged)
        except BaseException:
            self.remove(spec.name)
            if before is not None and before != spec:
                self._put_in(before)
            raise

    def remove(self, name: str) -> None:
        """Stop the process and delete what `put` wrote; its log stays until the platform goes.

        The specification goes first: by that a process which is asked to stop can tell that it is for good.
        """
        spec = self.spec(name)
        (self._home / f"{name}.json").unlink(missing_ok=True)
        self._take_out(name)
        for path in spec.files if spec else ():
            (self.folder / path).unlink(missing_ok=True)
        (self._home / f"{name}.starts").unlink(missing_ok=True)

    def spec(self, name: str) -> ProcessSpec | None:
        """The specification of a process that is under supervision, or None."""
        try:
            return ProcessSpec.read(self._home / f"{name}.json")
        except (FileNotFoundError, ValueError):
            return None

    def difference(self, spec: ProcessSpec, *, patience: float = 5.0) -> str | None:
        """Why the live process isn't what the specification says, in words; None if it is.

        Args:
            spec: What it should be.
            patience: Seconds to go on asking a running process that doesn't answer its readiness check.
        """
        found = self.spec(spec.name)
        if found is None:
            return "it is not there"
        if found.digest != spec.digest:
            return "its specification was altered"
        for path, template in spec.files.items():
            try:
                if (self.folder / path).read_text() != self.secrets.fill(template):
                    return f"its file {path} was altered"
            except OSError:
                return f"its file {path} is gone"
        if self._info(spec.name).get("statename") != "RUNNING":
            return "it is not running"
        deadline = time.monotonic() + patience
        while not is_ready(spec.ready):
            if time.monotonic() > deadline:
                return "it does not answer its readiness check"
            time.sleep(POLL_SECONDS)
        return None

    def log_tail(self, name: str, lines: int = 20, *, since: int = 0) -> str:
        """The last lines a process wrote.

        Args:
            name: Of the process.
            lines: How many.
            since: Only what lies behind this many bytes of the log.
        """
        try:
            with (self.logs / f"{name}.log").open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(since if since <= end else 0, end - 64 * 1024))
                return b"\n".join(log.read().splitlines()[-lines:]).decode(errors="replace")
        except FileNotFoundError:
            return ""

    # ---- all of them

    def specs(self) -> list[ProcessSpec]:
        """Every process under supervision, in order of their names."""
        return [spec for path in sorted(self._home.glob("*.json")) if (spec := self.spec(path.stem))]

    def status(self) -> list[ProcessStatus]:
        """How every process under supervision is now; they are all `stopped` when the supervisor is down."""
        infos = {info["name"]: info for info in self._all_infos()}
        return [self._status(spec, infos.get(spec.name, {})) for spec in self.specs()]

    def start_all(self) -> None:
        """Start every process, each once those it comes `after` are ready.

        Raises:
            StartFailed: one didn't become ready in time.
        """
        self.ensure_running()
        waiting = {spec.name: spec for spec in self.specs()}
        known, started, ready = set(waiting), dict[str, float](), set[str]()
        ready |= {name for name, spec in waiting.items() if not spec.waited_for}
        while len(ready) < len(known) or len(started) < len(known):
            for name, spec in waiting.items():
                if name not in started and known.intersection(spec.after) <= ready:
                    self._put_in(spec)
                    started[name] = time.monotonic()
                if name in started and name not in ready:
                    if is_ready(spec.ready):
                        ready.add(name)
                    else:
                        self._raise_if_hopeless(spec, since=started[name])
            time.sleep(POLL_SECONDS)

    def stop_all(self) -> None:
        """Stop every process, those that others come `after` last, and then the supervisor."""
        if not self.is_running():
            return
        left = {spec.name: spec for spec in self.specs()}
        while left:
            needed = {name for spec in left.values() for name in spec.after}
            wave = [spec for spec in left.values() if spec.name not in needed] or list(left.values())
            self._stop(wave)
            left = {spec.name: spec for spec in self.specs() if spec.name in left.keys() - {s.name for s in wave}}
        self.shut_down()

    def shut_down(self) -> None:
        """Stop every process at once and the supervisor with them."""
        pid = self._pid()
        if pid is None:
            return
        self._stop(self.specs())
        supervisor = psutil.Process(pid)
        supervisor.kill()  # it has nothing left to do, and takes two seconds over a polite request
        while lives(supervisor):
            time.sleep(POLL_SECONDS / 5)
        for left in (self._socket, self._home / "supervisord.pid"):
            left.unlink(missing_ok=True)

    # ---- the supervisor itself

    def is_running(self) -> bool:
        """Whether this platform's supervisor is alive."""
        return self._pid() is not None

    def ensure_running(self) -> None:
        """Start the supervisor if it is not alive.

        Raises:
            ModelyardError: the platform's folder can't hold it.
        """
        if self.is_running():
            return
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_PATH:
            raise ModelyardError(
                f"the path of the platform's folder is too long for a socket: {self.folder}",
                fix=f"choose a shorter stack name or MODELYARD_HOME: {self._socket} must have at most "
                f"{LONGEST_SOCKET_PATH} bytes",
            )
        for folder in (self._home, self.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock():
            if not self.is_running():
                self._start_supervisor()

    def _start_supervisor(self) -> None:
        self._socket.unlink(missing_ok=True)
        os.close(_private(self.logs / "supervisor.log"))
        config = self._home / "supervisord.conf"
        write_private(config, self._config())
        # setsid: Ctrl-C in the terminal that ran `up` must not reach the platform.
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), launch.PLATFORM_VARIABLE: str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=os.fdopen(_private(self.logs / "supervisor.out"), "w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=True,
        )
        deadline = time.monotonic() + 15
        while not self.is_running():
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"the supervisor of {self.folder} did not start within 15 s",
                    fix=f"what it said:\n{(self.logs / 'supervisor.out').read_text()}",
                )
            time.sleep(POLL_SECONDS)

    def _config(self) -> str:
        user = "user=root\n" if os.geteuid() == 0 else ""
        open_files = min(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        return (
            f"[supervisord]\nidentifier=modelyard\npidfile={self._home}/supervisord.pid\n{user}"
            f"logfile={self.logs}/supervisor.log\nlogfile_maxbytes=1MB\nlogfile_backups=1\nloglevel=info\n"
            f"childlogdir={self.logs}\numask=077\nminfds={open_files}\nnocleanup=true\n"
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
            return int(self._call("getPID"))
        except (OSError, ValueError, psutil.Error, xmlrpc.client.Error):
            return None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with os.fdopen(_private(self._home / "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # ---- the steps of put and remove

    def _put_in(self, spec: ProcessSpec) -> None:
        for path, template in spec.files.items():
            write_private(self.folder / path, self.secrets.fill(template), account=spec.account)
        (self.folder / spec.folder).mkdir(parents=True, exist_ok=True)
        spec_file = self._home / f"{spec.name}.json"
        spec_file.with_suffix(".starts").unlink(missing_ok=True)
        write_private(spec_file, spec.model_dump_json(indent=1))
        write_private(self._home / f"{spec.name}.program", self._program(spec, spec_file))
        with self._lock():
            self._call("reloadConfig")
            self._ignoring(Fault.ALREADY_ADDED, "addProcessGroup", spec.name)
        self._ignoring(Fault.ALREADY_STARTED, "startProcess", spec.name, False)

    def _program(self, spec: ProcessSpec, spec_file: Path) -> str:
        # startsecs=0 keeps supervisord from ever giving up on a process; launch.py does the backing off.
        return (
            f"[program:{spec.name}]\n"
            f'command="{sys.executable}" -I -S "{launch.__file__}" "{spec_file}"\n'
            "autostart=false\nautorestart=true\nstartsecs=0\nkillasgroup=true\nredirect_stderr=true\n"
            f"stopsignal={spec.stop_signal}\nstopwaitsecs={max(1, round(spec.stop_seconds))}\n"
            f"stdout_logfile={self.logs}/{spec.name}.log\n"
            f"stdout_logfile_maxbytes={LOG_BYTES}\nstdout_logfile_backups={LOG_GENERATIONS}\n"
        ).replace("%", "%%")

    def _take_out(self, name: str) -> None:
        if self.is_running():
            self._ignoring(Fault.BAD_NAME, "stopProcess", name, True, also=Fault.NOT_RUNNING)
        (self._home / f"{name}.program").unlink(missing_ok=True)
        if self.is_running():
            self._wait_until_stopped(name)
            with self._lock():
                self._ignoring(Fault.BAD_NAME, "removeProcessGroup", name)
                self._call("reloadConfig")

    def _wait_until_stopped(self, name: str) -> None:
        """For the case that somebody else had asked it to stop before us."""
        deadline = time.monotonic() + STOPPED_ELSEWHERE_SECONDS
        while self._info(name).get("pid") and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _stop(self, specs: Iterable[ProcessSpec]) -> None:
        names = [spec.name for spec in specs]
        for name in names:
            self._ignoring(Fault.NOT_RUNNING, "stopProcess", name, False, also=Fault.BAD_NAME)
        deadline = time.monotonic() + max((spec.stop_seconds for spec in specs), default=0) + 5
        while any(self._info(name).get("pid") for name in names) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _check_ports(self, spec: ProcessSpec) -> None:
        for port in spec.ports:
            if not ports.is_free(port):
                raise StartFailed(
                    f"{spec.name} can't start: port {port} is in use by {ports.listener(port)}",
                    fix="stop that process, or give the part another port in the stack's settings",
                )

    def _logged(self, name: str) -> int:
        """Bytes in the process's log so far."""
        log = self.logs / f"{name}.log"
        return log.stat().st_size if log.exists() else 0

    def _wait_until_ready(self, spec: ProcessSpec, logged: int) -> None:
        since = time.monotonic()
        while not is_ready(spec.ready):
            self._raise_if_hopeless(spec, since=since, logged=logged)
            time.sleep(POLL_SECONDS)

    def _raise_if_hopeless(self, spec: ProcessSpec, *, since: float, logged: int = 0) -> None:
        if self._starts(spec.name) > 2:
            reason = "it exits right after its start"
        elif time.monotonic() - since > spec.ready_seconds:
            reason = f"it was not ready after {spec.ready_seconds:g} s ({spec.ready.model_dump_json()})"
        else:
            return
        raise StartFailed(
            f"{spec.name} did not start: {reason}. The last lines of {self.logs / spec.name}.log:\n"
            + self.log_tail(spec.name, since=logged),
            fix="mend what they name, then run the same command again",
        )

    # ---- what supervisord says

    def _status(self, spec: ProcessSpec, info: dict[str, Any]) -> ProcessStatus:
        pid = int(info.get("pid", 0)) or None
        if pid is None:
            state = "stopped"
        elif is_ready(spec.ready, timeout=1):
            state = "running"
        else:
            state = "backing off" if self._starts(spec.name) > 1 else "starting"
        return ProcessStatus(spec.name, state, pid, self._starts(spec.name))

    def _starts(self, name: str) -> int:
        return launch.starts(self._home / f"{name}.starts")

    def _all_infos(self) -> list[dict[str, Any]]:
        try:
            return cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        except (OSError, xmlrpc.client.Error):
            return []

    def _info(self, name: str) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], self._call("getProcessInfo", name))
        except (OSError, xmlrpc.client.Error):
            return {}

    def _call(self, method: str, *args: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(serverurl=f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            return getattr(proxy.supervisor, method)(*args)
        finally:
            transport.close()

    def _ignoring(self, fault: int, method: str, *args: Any, also: int | None = None) -> None:
        try:
            self._call(method, *args)
        except xmlrpc.client.Fault as error:
            if error.faultCode not in (fault, also):
                raise


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie, which an idle init may leave for seconds, doesn't."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _private(path: Path) -> int:
    """Open a file that only its owner may read; returns its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
