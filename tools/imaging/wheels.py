"""The wheels that an image's lock names: downloaded here, installed in the build without network.

pip checks each against the lock's hashes, now and again in the build. They come from wherever this machine's pip is set
up to get them, and nothing of that setting gets near the build. Asked for are wheels of the image's Python, whatever
Python this is, and for systems from RHEL 8 and Debian 10 on.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from imaging.catalog import LOCK, PYTHON
from toolbox import cache, commands, progress
from toolbox.errors import ToolError, Unavailable

GLIBC_MINORS = range(28, 4, -1)
Pin = tuple[str, str]


def pins(lock: Path) -> set[Pin]:
    """Name and version of everything that a lock names."""
    return {
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE)
    }


def stage(lock: Path, folder: Path) -> None:
    """Have ``folder`` hold the wheels of a lock, and pip's own, which installs them.

    Raises ToolError when they can't be had.
    """
    store = cache.root() / "images" / "wheels"
    store.mkdir(parents=True, exist_ok=True)
    pip = store / "pip.txt"
    pip.write_text(_locked_pip())
    found = {}
    for file in (lock, pip):
        wanted = pins(file)
        if wanted - _stored(store).keys():
            _download(file, store)
        stored = _stored(store)
        if missing := sorted(wanted - stored.keys()):
            names = ", ".join(f"{name} {version}" for name, version in missing)
            raise ToolError(f"pip downloaded everything of {lock}, but no wheel is of {names}: run `make lock`")
        found.update({pin: stored[pin] for pin in wanted})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for wheel in found.values():
        _place(wheel, folder / wheel.name)


def _download(lock: Path, store: Path) -> None:
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    tags += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    kind = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    with progress.doing(f"downloading the wheels of {lock}"):
        try:
            commands.run([*pip, *kind, "--require-hashes", "--dest", str(store), "-r", str(lock)], seconds=3600)
        except Unavailable as reason:
            raise ToolError(
                f"the wheels of {lock} could not be downloaded: {reason}. "
                "This is pip with this machine's settings: `pip config list` shows them"
            ) from reason


def _stored(store: Path) -> dict[Pin, Path]:
    stored = {}
    for wheel in store.glob("*.whl"):
        try:
            name, version, _, _ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        stored[(str(name), str(version))] = wheel
    return stored


def _locked_pip() -> str:
    """The lock's lines about pip: its version and hashes."""
    match = re.search(r"^pip==.*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if match is None:
        raise ToolError(f"{LOCK} does not name pip: run `make lock`")
    return match[0]


def _place(wheel: Path, target: Path) -> None:
    try:
        target.hardlink_to(wheel)
    except OSError:  # another disk
        shutil.copyfile(wheel, target)
