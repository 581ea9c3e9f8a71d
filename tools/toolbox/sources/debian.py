"""A Debian package, unpacked into the cache: never installed, since installing starts daemons on all interfaces.

Needs no root. Where the system has no package lists, private ones are fetched into the cache; the system's are never
touched. apt checks signatures and hashes.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from contextlib import suppress
from pathlib import Path

from toolbox import cache, commands, progress
from toolbox.errors import Unavailable
from toolbox.settings import DebianPackage, Tool

NAME = "Debian"
SYSTEM_LISTS = Path("/var/lib/apt/lists")

_IMPATIENT = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=5", "-o", "Acquire::https::Timeout=5"]
_updated: set[Path] = set()


def offers(tool: Tool) -> bool:
    """Whether a package of the tool is known."""
    return tool.debian is not None


def fill(tool: Tool, fresh: Path) -> None:
    """Unpack the tool's package into ``fresh / "root"`` and link its programs into ``fresh / "bin"``."""
    if tool.debian is None:
        raise Unavailable("no package of it is known")
    if not all(shutil.which(program) for program in ("apt-get", "apt-cache", "dpkg-deb")):
        raise Unavailable("not a Debian system")
    with progress.doing(f"{tool.name}: unpacking Debian's package {tool.debian.package}"):
        _download(tool, tool.debian, fresh)
        for file in fresh.glob("*.deb"):
            commands.run(["dpkg-deb", "-x", str(file), str(fresh / "root")])
            file.unlink()
    for program in tool.programs:
        name = tool.debian.names.get(program, program)
        pattern = f"root/usr/{name}" if "/" in name else f"root/usr/*bin/{name}"
        found = next((path for path in fresh.glob(pattern) if os.access(path, os.X_OK)), None)
        if found is None:
            raise Unavailable(f"package {tool.debian.package} has no {name}")
        _offer(fresh / "bin" / program, found.relative_to(fresh), tool.debian)


def _offer(place: Path, program: Path, debian: DebianPackage) -> None:
    """Put a program into the bin folder: by a link, or by a script where it needs libraries of other packages."""
    if not debian.also:
        place.symlink_to(Path("..") / program)
        return
    libraries = f"root/usr/lib/{platform.machine()}-linux-gnu"
    values = {"LD_LIBRARY_PATH": "{libraries}", **debian.environment}
    exports = "".join(f'export {name}="$home/{value.format(libraries=libraries)}"\n' for name, value in values.items())
    place.write_text(f'#!/bin/sh\nhome=${{0%/*}}/..\n{exports}exec "$home/{program}" "$@"\n')
    place.chmod(0o755)


def _download(tool: Tool, debian: DebianPackage, fresh: Path) -> None:
    """Fetch the packages with the system's lists; with our own where there are none, or what they name is gone."""
    download = ["apt-get", *_IMPATIENT, "download", debian.package, *debian.also]
    if any(SYSTEM_LISTS.glob("*_Packages*")):
        _check_candidate(tool, debian.package, [])
        with suppress(Unavailable):
            commands.run(download, cwd=fresh, seconds=300)
            return
    lists = _private_lists()
    _check_candidate(tool, debian.package, lists)
    commands.run([*download, *lists], cwd=fresh, seconds=300)


def _check_candidate(tool: Tool, package: str, lists: list[str]) -> None:
    policy = commands.run(["apt-cache", *lists, "policy", package], env={**os.environ, "LC_ALL": "C"})
    match = re.search(r"Candidate: (\d\S*)", policy)
    if match is None:
        raise Unavailable(f"no package {package} on offer")
    if not tool.serves(match[1]):
        raise Unavailable(f"package {package} is version {match[1]}")


def _private_lists() -> list[str]:
    """apt options for lists in the cache, updated once per run."""
    home = cache.root() / "apt"
    options = ["-o", f"Dir::State::Lists={home}/lists", "-o", f"Dir::Cache={home}/cache"]
    with cache.locked("apt"):
        if home not in _updated:
            for folder in ("lists/partial", "cache/archives/partial"):
                (home / folder).mkdir(parents=True, exist_ok=True)
            commands.run(["apt-get", *options, *_IMPATIENT, "-o", "APT::Update::Error-Mode=any", "update"], seconds=180)
            _updated.add(home)
    return options
