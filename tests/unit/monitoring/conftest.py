"""The programs that check what monitoring is told, from the tools' cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _program(tool: str, name: str) -> str:
    """A program of a tool; missing, the test fails: a rule that nobody checked must not pass."""
    command = [sys.executable, str(ROOT / "tools" / "get.py"), "--path", tool]
    folders = subprocess.run(command, capture_output=True, text=True)
    path = os.pathsep.join([folders.stdout.strip(), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"there is no {name} here: run `make tools` first. {folders.stderr.strip()}", pytrace=False)
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    return _program("prometheus", "promtool")


@pytest.fixture(scope="session")
def amtool() -> str:
    return _program("alertmanager", "amtool")


@pytest.fixture(scope="session")
def blackbox_exporter() -> str:
    return _program("blackbox_exporter", "blackbox_exporter")
