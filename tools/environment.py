#!/usr/bin/env python3
"""Makes the project's Python environment, .venv, exactly as requirements.lock says. Does nothing when it already is.

Runs on a bare Python 3.11 to 3.13, also on a Debian whose `venv` has no pip (package python3-venv not installed): pip
then comes from Debian's package of its wheel, unpacked into the cache. The lock names no address, so packages come from
wherever this machine's pip is set up to get them. Two terminals that both want it take turns.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11) or sys.version_info >= (3, 14):  # any `python3` may get here
    sys.exit(
        f"Modelyard needs Python 3.11, 3.12 or 3.13; `python3` is {sys.version.split()[0]} here ({sys.executable}): "
        "put one of these first on PATH"
    )

from toolbox import cache, commands, progress
from toolbox.errors import ToolError, Unavailable
from toolbox.settings import DebianPackage, Tool
from toolbox.sources import debian

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
MADE_BY = VENV / ".made-by"
MADE_FROM = VENV / ".made-from"


def main() -> int:
    """0: .venv is as locked. 1: it could not be made, and standard error says why."""
    try:
        if not _is_whole():
            with cache.locked("environment", waiting=_say_waiting):
                _make()
    except (ToolError, Unavailable, OSError) as error:
        print(f"the Python environment could not be made: {error}", file=sys.stderr)
        return 1
    return 0


def _say_waiting() -> None:
    progress.say("waiting for another terminal, which is making a Python environment")


def _make() -> None:
    """Do what is left to do, with the lock held: whoever had it before may have done all of it."""
    with progress.doing("the Python environment .venv"):
        if not _venv_serves():
            _make_venv()
            MADE_BY.write_text(_made_by())
        if not _says(MADE_FROM, _made_from()):
            MADE_FROM.unlink(missing_ok=True)  # a half-done change is neither the old packages nor the new ones
            _install()
            MADE_FROM.write_text(_made_from())


def _is_whole() -> bool:
    return _venv_serves() and _says(MADE_FROM, _made_from())


def _venv_serves() -> bool:
    """Whether the venv is of this place and this Python, and still runs: that one may have been removed."""
    return _says(MADE_BY, _made_by()) and _runs(PYTHON)


def _says(mark: Path, expected: str) -> bool:
    return mark.exists() and mark.read_text() == expected


def _runs(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-I", "-S", "-c", ""], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _made_by() -> str:
    """Changes when the venv must be made anew: another Python, or another place, which its scripts name."""
    return f"{_base_python()} {sys.version.split()[0]} in {VENV}\n"


def _made_from() -> str:
    """Changes when the packages in it must: another lock, or another project."""
    return hashlib.sha256(b"\0".join([LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes()])).hexdigest()


def _base_python() -> str:
    """The Python that a venv comes from, also when this runs on the venv's own: that one can't make itself anew."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())


def _make_venv() -> None:
    without = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
    _run([_base_python(), "-m", "venv", "--clear", *without, str(VENV)])


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
