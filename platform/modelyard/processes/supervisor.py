"""What one platform's supervisor keeps alive: processes put under it, taken out, and told from what they should be.

Everything lies below the platform's folder, so that a platform can be found, mended and swept from there
alone: `supervisor/NAME.json` is the specification of a process (it exists as long as the process should),
`supervisor/NAME.program` is what supervisord reads, `logs/NAME.log` what the process said.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.processes import launch, ports
from modelyard.processes.daemon import POLL_SECONDS, Daemon, Fault, StartFailed
from modelyard.processes.files import SecretFiles, write_private
from modelyard.processes.readiness import is_ready
from modelyard.processes.spec import ProcessSpec

LOG_BYTES = 10 * 1024 * 1024
LOG_GENERATIONS = 3
STOPPED_ELSEWHERE_SECONDS = 60.0
PATIENCE_SECONDS = 5.0
HOPELESS_STARTS = 3  # within 3.5 s: by then what a killed predecessor left (a zombie that holds a lock) is gone


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
        self.daemon = Daemon(self._home, logs=self.logs, mark={launch.PLATFORM_VARIABLE: str(folder)})

    # ---- one process

    def put(self, spec: ProcessSpec, *, wait: bool = True) -> None:
        """Make the process run exactly as specified; does nothing if it already does.

        If it can't be started, what ran before under that name is put back.

        Raises:
            StartFailed: it exited or was not ready in time, or one of its ports is taken.
        """
        self.daemon.ensure_running()
        if self.difference(spec, patience=PATIENCE_SECONDS if wait else 0) is None:
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
            if before is None:
                self.remove(spec.name)
            else:
                self._take_out(spec.name)
                self._put_in(before)
            raise
        for path in before.files.keys() - spec.files.keys() if before else ():
            (self.folder / path).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Stop the process and delete what `put` wrote; its log stays until the platform goes.

        The specification goes first: by that a process which is asked to stop can tell that it is for good.
        """
        spec = self.spec(name)
        (self._home / f"{name}.json").unlink(missing_ok=True)
        self._take_out(name)
        for path in spec.files if spec else ():
            (self.folder / path).unlink(missing_ok=True)
        for left in (".starts", ".secrets"):
            (self._home / f"{name}{left}").unlink(missing_ok=True)

    def pause(self, name: str) -> None:
        """Stop the process until it is put, or everything is started, again."""
        if self.daemon.is_running():
            self._stop([spec for spec in self.specs() if spec.name == name])

    def spec(self, name: str) -> ProcessSpec | None:
        """The specification of a process that is under supervision, or None."""
        try:
            return ProcessSpec.read(self._home / f"{name}.json")
        except (FileNotFoundError, ValueError):
            return None

    def difference(self, spec: ProcessSpec, *, patience: float = PATIENCE_SECONDS) -> str | None:
        """Why the live process isn't what the specification says, in words; None if it is.

        Args:
            spec: What it should be.
            patience: Seconds to go on asking a running process that doesn't answer its readiness check; one that
                was started just now gets the time that it may take to start. 0: ask once.
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
        if self._known_secrets(spec.name) != self._secrets_digest(spec):
            return "a secret of its environment was changed"
        if self.daemon.info(spec.name).get("statename") != "RUNNING":
            return "it is not running"
        age = time.time() - launch.last_start(self._home / f"{spec.name}.starts")
        deadline = time.monotonic() + (max(patience, spec.ready_seconds - age) if patience else 0)
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

    def is_running(self) -> bool:
        """Whether the supervisor is alive."""
        return self.daemon.is_running()

    def specs(self) -> list[ProcessSpec]:
        """Every process under supervision, in order of their names."""
        return [spec for path in sorted(self._home.glob("*.json")) if (spec := self.spec(path.stem))]

    def status(self) -> list[ProcessStatus]:
        """How every process under supervision is now; they are all `stopped` when the supervisor is down."""
        infos = {info["name"]: info for info in self.daemon.infos()}
        return [self._status(spec, infos.get(spec.name, {})) for spec in self.specs()]

    def start_all(self) -> None:
        """Start every process, each once those it comes `after` are ready.

        Raises:
            StartFailed: one didn't become ready in time.
        """
        self.daemon.ensure_running()
        waiting = {spec.name: spec for spec in self.specs()}
        known, started, ready = set(waiting), dict[str, float](), set[str]()
        ready |= {name for name, spec in waiting.items() if not spec.waited_for}
        while len(ready) < len(known) or len(started) < len(known):
            for name, spec in waiting.items():
                if name not in started and known.intersection(spec.after) <= ready:
                    if self.daemon.info(name).get("statename") != "RUNNING":
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
        if not self.daemon.is_running():
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
        if self.daemon.is_running():
            self._stop(self.specs())
            self.daemon.kill()

    # ---- the steps of put and remove

    def _put_in(self, spec: ProcessSpec) -> None:
        for path, template in spec.files.items():
            write_private(self.folder / path, self.secrets.fill(template), account=spec.account)
        (self.folder / spec.folder).mkdir(parents=True, exist_ok=True)
        spec_file = self._home / f"{spec.name}.json"
        spec_file.with_suffix(".starts").unlink(missing_ok=True)
        write_private(spec_file, spec.model_dump_json(indent=1))
        write_private(self._home / f"{spec.name}.secrets", self._secrets_digest(spec))
        write_private(self._home / f"{spec.name}.program", self._program(spec))
        with self.daemon.lock():
            self.daemon.call("reloadConfig")
            self.daemon.tell("addProcessGroup", spec.name, ignore=(Fault.ALREADY_ADDED,))
        self.daemon.tell("startProcess", spec.name, False, ignore=(Fault.ALREADY_STARTED,))

    def _program(self, spec: ProcessSpec) -> str:
        # startsecs=0 keeps supervisord from ever giving up on a process; launch.py does the backing off.
        return (
            f"[program:{spec.name}]\n"
            f'command="{sys.executable}" -I -S "{launch.__file__}" "{self._home}/{spec.name}.json"\n'
            "autostart=false\nautorestart=true\nstartsecs=0\nkillasgroup=true\nredirect_stderr=true\n"
            f"stopsignal={spec.stop_signal}\nstopwaitsecs={max(1, round(spec.stop_seconds))}\n"
            f"stdout_logfile={self.logs}/{spec.name}.log\n"
            f"stdout_logfile_maxbytes={LOG_BYTES}\nstdout_logfile_backups={LOG_GENERATIONS}\n"
        ).replace("%", "%%")

    def _secrets_digest(self, spec: ProcessSpec) -> str:
        """Changes when a secret of the process's environment does."""
        values = [f"{name}={self.secrets.read(secret)}" for name, secret in sorted(spec.secret_env.items())]
        return hashlib.sha256("\0".join(values).encode()).hexdigest()

    def _known_secrets(self, name: str) -> str | None:
        try:
            return (self._home / f"{name}.secrets").read_text()
        except FileNotFoundError:
            return None

    def _take_out(self, name: str) -> None:
        if self.daemon.is_running():
            spec = self.spec(name)
            seconds = (spec.stop_seconds if spec else 0) + STOPPED_ELSEWHERE_SECONDS
            self.daemon.tell("stopProcess", name, True, ignore=(Fault.BAD_NAME, Fault.NOT_RUNNING), seconds=seconds)
        (self._home / f"{name}.program").unlink(missing_ok=True)
        if self.daemon.is_running():
            self._wait_until_stopped(name)
            with self.daemon.lock():
                self.daemon.tell("removeProcessGroup", name, ignore=(Fault.BAD_NAME,))
                self.daemon.call("reloadConfig")

    def _wait_until_stopped(self, name: str) -> None:
        """For the case that somebody else had asked it to stop before us."""
        deadline = time.monotonic() + STOPPED_ELSEWHERE_SECONDS
        while self.daemon.info(name).get("pid") and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _stop(self, specs: Iterable[ProcessSpec]) -> None:
        names = [spec.name for spec in specs]
        for name in names:
            self.daemon.tell("stopProcess", name, False, ignore=(Fault.BAD_NAME, Fault.NOT_RUNNING))
        deadline = time.monotonic() + max((spec.stop_seconds for spec in specs), default=0) + 5
        while any(self.daemon.info(name).get("pid") for name in names) and time.monotonic() < deadline:
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
            self.daemon.info(spec.name)  # being asked wakes supervisord, which else looks after its dead once a second
            self._raise_if_hopeless(spec, since=since, logged=logged)
            time.sleep(POLL_SECONDS)

    def _raise_if_hopeless(self, spec: ProcessSpec, *, since: float, logged: int = 0) -> None:
        if self._starts(spec.name) > HOPELESS_STARTS:
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
