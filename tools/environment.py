#!/usr/bin/env python3
"""Makes the project's Python environment, .venv, exactly as requirements.lock says. Does nothing when it already is.

Runs on a bare Python 3.11+, also on a Debian whose `venv` has no pip (package python3-venv not installed): pip then
comes from Debian's package of its wheel, unpacked into the cache. The lock names no address, so packages come from
wherever this machine's pip is set up to get them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whatever python3 is on a bare machine gets here
    sys.exit(f"Modelyard needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")

from toolbox import cache, commands, progress
from toolbox.errors import ToolError
from toolbox.settings import DebianPackage, Tool
from toolbox.sources import debian

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
MARK = VENV / ".made-from"


def main() -> int:
    """0: .venv is as locked. 1: it could not be made, and standard error says why."""
    if MARK.exists() and MARK.read_text() == _made_from():
        return 0
    try:
        with progress.doing("the Python environment .venv"):
            _make_venv()
            _install()
    except (ToolError, subprocess.CalledProcessError, OSError) as error:
        print(f"the Python environment could not be made: {error}", file=sys.stderr)
        return 1
    MARK.write_text(_made_from())
    return 0


def _made_from() -> str:
    """Changes when the environment must be made anew: other packages, another checkout, another Python."""
    parts = [LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(VENV).encode(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _make_venv() -> None:
    if PYTHON.exists():
        return
    if importlib.util.find_spec("ensurepip"):
        _run([sys.executable, "-m", "venv", str(VENV)])
    else:
        _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])


def _install() -> None:
    """uv first, through pip and with its hash checked; then everything else through uv, compiled to bytecode."""
    uv = VENV / "bin" / "uv"
    own = VENV / "uv.txt"
    own.write_text(_locked("uv"))
    _run([str(PYTHON), *_pip(), "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(own)])
    env = {**os.environ, "UV_COMPILE_BYTECODE": "1", "VIRTUAL_ENV": str(VENV)}
    _run([str(uv), "pip", "sync", "--quiet", "--require-hashes", str(LOCK)], env)
    _run([str(uv), "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], env)


def _locked(package: str) -> str:
    """The lock's lines about one package: its version and hashes."""
    match = re.search(rf"^{package}==.*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if match is None:
        raise OSError(f"{LOCK} does not name {package}")
    return match[0]


def _pip() -> list[str]:
    if subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return ["-m", "pip"]
    return [str(_debian_pip() / "pip")]


def _debian_pip() -> Path:
    """The wheel of pip that Debian packages, which runs without being installed."""
    tool = Tool(
        name="pip",
        version="debian",
        minimum="0",
        programs=(),
        version_command=(),
        version_pattern="",
        debian=DebianPackage(package="python3-pip-whl"),
    )
    folder = cache.root() / "pip"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("root/usr/share/python-wheels/pip-*.whl")):
        debian.fill(tool, folder)
    return next(folder.glob("root/usr/share/python-wheels/pip-*.whl"))


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    commands.run(command, env=env, seconds=1200)


if __name__ == "__main__":
    sys.exit(main())
