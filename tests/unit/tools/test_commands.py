from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolbox import commands
from toolbox.errors import Stopped, Unavailable

STARTS_ANOTHER = ["/bin/sh", "-c", "/bin/sleep 30 & echo started > started; wait"]


def test_a_failed_program_gives_its_last_words() -> None:
    with pytest.raises(Unavailable, match="`sh -c echo trying; echo no room; exit 1` failed: no room"):
        commands.run(["/bin/sh", "-c", "echo trying; echo no room; exit 1"])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="nothing can't be started: No such file"):
        commands.run(["/usr/bin/nothing"])


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"sh didn't end within 0\.3 s"):
        commands.run(STARTS_ANOTHER, cwd=tmp_path, seconds=0.3)
    assert time.monotonic() - started < 5


def test_stopping_ends_programs_with_their_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(commands.run, STARTS_ANOTHER, cwd=tmp_path)
        while not (tmp_path / "started").exists():
            threading.Event().wait(0.02)
        commands.stop_all()
        with pytest.raises(Stopped):
            running.result()
    assert time.monotonic() - started < 5


def test_nothing_starts_after_stopping(tmp_path: Path) -> None:
    commands.stop_all()
    with pytest.raises(Stopped):
        commands.run(STARTS_ANOTHER, cwd=tmp_path)
