"""What lies on disk for a local stack: its state, the lock on it, and its configuration file."""

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import yaml

from modelyard import home
from modelyard.errors import ModelyardError
from modelyard.processes.files import write_private
from modelyard.processes.marked import lives, marked
from modelyard_infra.commands.engine import RUN_VARIABLE, project_folder

ORIGIN_MARK = "# made by the checkout in "
COMMITTED = ("dev", "staging", "prod")  # their files are in git, and their platforms are none to throw away


@dataclass(frozen=True)
class Lock:
    """The lock that a running engine holds on a stack."""

    file: Path
    pid: int
    user: str
    host: str
    since: str

    @property
    def is_stale(self) -> bool:
        """Whether the process that took it is dead (one on another host is taken to live)."""
        return self.host == socket.gethostname() and not _is_engine(self.pid)


def _is_engine(pid: int) -> bool:
    """Whether a process is a living Pulumi engine: the number may be another program's by now, or a zombie's."""
    try:
        process = psutil.Process(pid)
        return lives(process) and "pulumi" in process.name()
    except psutil.Error:
        return False


@cache
def project_name() -> str:
    """The project's name: `pulumi new` gives a copy of this one another."""
    name: str = yaml.safe_load((project_folder() / "Pulumi.yaml").read_text())["name"]
    return name


def stack_file(stack: str) -> Path:
    """The stack's configuration in this checkout."""
    return project_folder() / "stacks" / f"Pulumi.{stack}.yaml"


def state_file(stack: str) -> Path:
    """The stack's state."""
    return home.state_folder() / ".pulumi" / "stacks" / project_name() / f"{stack}.json"


def kept_stack_file(stack: str) -> Path:
    """A copy of the configuration, with which another checkout can take the platform over."""
    return home.home() / "stacks" / f"Pulumi.{stack}.yaml"


def locks(stack: str) -> list[Lock]:
    """The locks on a stack."""
    folder = home.state_folder() / ".pulumi" / "locks" / "organization" / project_name() / stack
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            document = json.loads(file.read_text())
            found.append(
                Lock(file, int(document["pid"]), document["username"], document["hostname"], document["timestamp"])
            )
        except (FileNotFoundError, ValueError, KeyError):
            continue
    return found


def clear_stale_locks(stack: str) -> bool:
    """Take away the lock of an engine that was killed, and end what is left of that run.

    Returns:
        Whether there was one.

    Raises:
        ModelyardError: another engine works on the stack right now.
    """
    for attributes in home.state_folder().rglob("*.attrs"):  # of earlier versions; perhaps half-written
        attributes.unlink(missing_ok=True)
    found = locks(stack)
    for lock in found:
        if not lock.is_stale:
            raise ModelyardError(
                f"another command works on stack {stack!r} since {lock.since}: "
                f"pid {lock.pid}, user {lock.user} on {lock.host}",
                fix="wait for it to end; if you are sure that it never will, delete " + str(lock.file),
            )
    for lock in found:
        _end_remains(stack)
        lock.file.unlink(missing_ok=True)
    return bool(found)


def _end_remains(stack: str) -> None:
    remains = marked(RUN_VARIABLE, str(home.platform_folder(stack)))
    for process in remains:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remains, timeout=5)


def resources(stack: str) -> list[dict[str, Any]] | None:
    """The resources of a stack's state; None if there is no state, or it can't be read."""
    try:
        found: list[dict[str, Any]] = json.loads(state_file(stack).read_text())["checkpoint"]["latest"]["resources"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def namespace(stack: str) -> str | None:
    """The namespace of a cluster that the stack's state knows its objects to be in; None: they are on this machine."""
    checks = [one for one in resources(stack) or [] if one["type"].endswith(":ClusterCheck")]
    return checks[0]["outputs"]["namespace"] if checks else None


def _own_lock(stack: str) -> Path:
    return home.home() / "stacks" / f"{stack}.lock"


@contextmanager
def alone(stack: str) -> Iterator[None]:
    """Keep other `modelyard` commands from working on the stack at the same time.

    Raises:
        ModelyardError: one does.
    """
    place = _own_lock(stack)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_nlink == 0:
                raise BlockingIOError  # the command that had it has just removed the stack, and the file with it
        except BlockingIOError:
            raise ModelyardError(
                f"another command works on stack {stack!r} at the moment", fix="wait for it to end, then repeat"
            ) from None
        yield


def has_state(stack: str) -> bool:
    """Whether the stack exists.

    Raises:
        ModelyardError: its state is damaged.
    """
    file = state_file(stack)
    if not file.exists():
        return False
    try:
        document = json.loads(file.read_text())
        if not isinstance(document, dict) or "checkpoint" not in document:
            raise ValueError("it has no checkpoint")
    except ValueError as error:
        backups = sorted((home.state_folder() / ".pulumi" / "backups" / project_name() / stack).glob("*.json"))
        back = f"`cp {backups[-1]} {file}` puts the last good one back" if backups else "there is no backup of it"
        raise ModelyardError(
            f"the state of stack {stack!r} is damaged: {file}: {error}",
            fix=f"{back}, or `make down STACK={stack} FORCE=1` removes the platform without it",
        ) from None
    return True


def ensure_stack_file(stack: str) -> Path:
    """Find the stack's configuration, or make it from the template of its name (`preview` for any other).

    Raises:
        ModelyardError: another checkout, which still exists, made this platform.
    """
    file, kept = stack_file(stack), kept_stack_file(stack)
    if kept.exists() and has_state(stack):
        first, _, rest = kept.read_text().partition("\n")
        origin = Path(first.removeprefix(ORIGIN_MARK))
        if origin != project_folder() and (origin / "Pulumi.yaml").exists():
            raise ModelyardError(
                f"platform {stack!r} belongs to the checkout in {origin}",
                fix="work there, choose another STACK, or set MODELYARD_HOME to keep the two apart",
            )
        if not file.exists():
            file.write_text(rest)
    if file.exists():
        return file
    if stack in COMMITTED:
        raise ModelyardError(
            f"the stack {stack!r} has no file {file}, and it is no throw-away platform to make from a template",
            fix="write its file, or choose another STACK",
        )
    shutil.copy(_template(stack), file)
    return file


def configuration(file: Path) -> dict[str, Any]:
    """The configuration that a stack's file holds.

    Raises:
        ModelyardError: it is not YAML, or has no `config:`.
    """
    try:
        document = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelyardError(
            f"{file} is not YAML: {error}", fix="mend it, or delete it to get its template again"
        ) from None
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ModelyardError(f"{file} has no `config:`", fix="mend it, or delete it to get its template again")
    return config


def _template(stack: str) -> Path:
    templates = project_folder() / "stacks" / "templates"
    named = templates / f"{stack}.yaml"
    return named if named.exists() else templates / "preview.yaml"


def keep_stack_file(stack: str) -> None:
    """Put a copy where another checkout can find it."""
    content = f"{ORIGIN_MARK}{project_folder()}\n{stack_file(stack).read_text()}"
    write_private(kept_stack_file(stack), content)


def forget(stack: str) -> None:
    """Delete what is left of a stack's state, and its configuration unless a person wrote something into it."""
    base = home.state_folder() / ".pulumi"
    for folder in ("locks/organization", "backups", "history"):
        shutil.rmtree(base / folder / project_name() / stack, ignore_errors=True)
    for ending in ("", ".bak"):
        state_file(stack).with_name(f"{stack}.json{ending}").unlink(missing_ok=True)
    for file in (kept_stack_file(stack), _own_lock(stack)):
        file.unlink(missing_ok=True)
    _forget_stack_file(stack)


def _forget_stack_file(stack: str) -> None:
    file = stack_file(stack)
    if not file.exists():
        return
    lines = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith("encryptionsalt:")]
    if _settings("".join(lines)) == _settings(_template(stack).read_text()):
        file.unlink()
    else:
        file.write_text("".join(lines))  # the salt belonged to the state that is gone


def _settings(text: str) -> object:
    """What a stack's file says, whatever its quotes: Pulumi writes `false` back as `"false"`."""
    try:
        config = yaml.safe_load(text)["config"]
        return {key: yaml.safe_load(value) if isinstance(value, str) else value for key, value in config.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return text
