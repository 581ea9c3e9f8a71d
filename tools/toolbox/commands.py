"""Running other programs, so that one failure can stop them all."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from toolbox.errors import Stopped, Unavailable

_stopping = threading.Event()
_running: set[subprocess.Popen[str]] = set()


def run(
    arguments: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: float = 60
) -> str:
    """Run a program to its end and return what it wrote.

    Raises Unavailable when it can't be started, fails or takes longer than ``seconds``; Stopped after stop_all().
    """
    name = Path(arguments[0]).name
    try:
        process = subprocess.Popen(
            arguments, cwd=cwd, env=env, text=True, errors="replace",
            process_group=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"{name} can't be started: {error.strerror or error}") from error
    _running.add(process)
    try:
        if _stopping.is_set():
            _kill(process)
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.communicate()
        raise Unavailable(f"{name} didn't end within {seconds:g} s") from None
    finally:
        _running.discard(process)
    checkpoint()
    if process.returncode != 0:
        raise Unavailable(f"`{name} {' '.join(arguments[1:3])}` failed: {_reason(output)}")
    return output


def checkpoint() -> None:
    """Raise Stopped after stop_all(): for whatever takes long without running a program."""
    if _stopping.is_set():
        raise Stopped


def stop_all() -> None:
    """End every program that run() has started; run() and checkpoint() raise Stopped from now on."""
    _stopping.set()
    for process in tuple(_running):
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a program and what it has started, which else would hold its output open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(output: str) -> str:
    """The last line that says something: programs put the cause there, after their progress."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
