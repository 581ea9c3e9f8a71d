"""Remove a local platform whatever state it is in: every process of it, then every file.

Pulumi destroys what its state knows. After a `kill -9` in mid-create there may be a process or folder that the
state does not know; this finds those by the mark that `launch` leaves in each process's environment.
"""

import shutil
import signal
import time
from pathlib import Path

import psutil

from modelyard.processes.launch import PLATFORM_VARIABLE
from modelyard.processes.marked import lives, marked
from modelyard.processes.postgres import release_shared_memory
from modelyard.processes.supervisor import Supervisor

PATIENCE_SECONDS = 5.0


def strays(folder: Path) -> list[psutil.Process]:
    """Living processes that belong to the platform, this process and its ancestors aside."""
    return marked(PLATFORM_VARIABLE, str(folder))


def sweep(folder: Path) -> list[str]:
    """Stop everything of the platform and delete its folder.

    Returns:
        What was found beside the supervised processes, in words.
    """
    if folder.is_dir():
        Supervisor(folder).shut_down()
    found = strays(folder)
    said = [f"{process.name()} (pid {process.pid})" for process in found]
    for process in found:
        _signal(process, signal.SIGTERM)
    for process in _still_alive(found):
        _signal(process, signal.SIGKILL)
    _still_alive(found)
    for file in folder.glob("*/data/postmaster.pid"):
        release_shared_memory(file.parent)
    _remove(folder)
    return said


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run when patience has run out."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [process for process in processes if lives(process)]


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
