"""The per-user cache: one folder per tool and version, complete or absent.

The version in a folder's name is the one tools.toml asks for; PATH or Debian may have given another that serves, which
the folder's installed.json tells.

A tool is put together in a folder whose name starts with ``.partial-`` and renamed into place when it is whole, under
a lock of the tool's own. A run killed half way leaves a partial folder, which never counts and which the next run
that holds the lock removes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from toolbox import commands
from toolbox.errors import ToolError
from toolbox.settings import Tool

RECORD = "installed.json"


@dataclass(frozen=True)
class Installed:
    """What a finished folder holds. ``stamps``: size and time of the programs it links to outside the cache."""

    version: str
    source: str
    stamps: dict[str, list[int]]


def root() -> Path:
    """The cache folder: $MODELYARD_CACHE, root's /var/cache, else the user's own."""
    if configured := os.environ.get("MODELYARD_CACHE"):
        return Path(configured).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/modelyard")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "modelyard"


def folder(tool: Tool) -> Path:
    """Where a tool is, or will be."""
    return root() / tool.name / tool.version


def bin_folder(tool: Tool) -> Path:
    """The folder to put on PATH for a tool."""
    return folder(tool) / "bin"


def current(tool: Tool) -> Installed | None:
    """What the cache holds of a tool, or None when that is nothing, no longer good enough, or changed underneath."""
    try:
        installed = Installed(**json.loads((folder(tool) / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    present = all(os.access(bin_folder(tool) / program, os.X_OK) for program in tool.programs)
    if not present or not tool.serves(installed.version) or installed.stamps != stamps(tool, folder(tool)):
        return None
    return installed


def stamps(tool: Tool, place: Path) -> dict[str, list[int]]:
    """Size and time of each program that ``place`` links to outside itself: an upgrade there asks for a new look."""
    found = {}
    for program in tool.programs:
        target = (place / "bin" / program).resolve()
        if not target.is_relative_to(place.resolve()) and target.exists():
            found[program] = [target.stat().st_size, target.stat().st_mtime_ns]
    return found


@contextmanager
def locked(name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock of this cache, across threads and processes; ``waiting`` is called when somebody else has it."""
    file = _made(root() / name) / ".lock"
    with file.open("w") as handle:
        while not _taken(handle):
            if waiting:
                waiting()
                waiting = None
            commands.checkpoint()
            time.sleep(0.1)
        yield


@contextmanager
def partial(place: Path) -> Iterator[Path]:
    """A fresh folder beside ``place``; gone at the end unless publish() has moved it. Call with the lock held."""
    parent = _made(place.parent)
    for left in parent.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    fresh.chmod(0o755)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def publish(fresh: Path, place: Path, installed: Installed) -> None:
    """Make a whole folder the real one: what was there before is moved aside first, then removed."""
    (fresh / RECORD).write_text(json.dumps(asdict(installed), indent=2) + "\n")
    aside = Path(tempfile.mkdtemp(prefix=".partial-", dir=place.parent))
    if place.exists():
        place.rename(aside / "before")
    fresh.rename(place)
    shutil.rmtree(aside, ignore_errors=True)


def _made(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(
            f"the tools' cache {root()} can't be written ({error.strerror}): "
            "set MODELYARD_CACHE to a folder you may write to"
        ) from error
    return path


def _taken(handle: TextIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
