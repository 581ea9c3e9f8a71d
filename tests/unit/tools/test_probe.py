from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import probe
from toolbox.errors import Unavailable
from toolbox.settings import Tool

SILENT = {"version_command": (), "version_pattern": r"\tgreeter\.example\tv(\d+\.\d+\.\d+)"}


def test_a_program_that_cannot_be_asked_has_its_version_in_itself(tool: Callable[..., Tool], tmp_path: Path) -> None:
    (tmp_path / "greeter").write_bytes(b"\x7fELF\x00\tdep\tgreeter.example\tv2.0.0\th1:x\n\xff")
    assert probe.version(tool(**SILENT), tmp_path) == "2.0.0"


def test_another_program_of_that_name_is_not_taken_for_it(tool: Callable[..., Tool], tmp_path: Path) -> None:
    (tmp_path / "greeter").write_bytes(b"\x7fELF\x00something else")
    with pytest.raises(Unavailable, match="has no version in it"):
        probe.version(tool(**SILENT), tmp_path)


def test_a_program_that_is_not_there_is_said_to_be_so(tool: Callable[..., Tool], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"can't read .*greeter: No such file"):
        probe.version(tool(**SILENT), tmp_path)
