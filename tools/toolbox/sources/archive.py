"""The official release archive, checked against the checksum its publisher published beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tarfile
from pathlib import Path

from toolbox import download, progress
from toolbox.errors import Alarm, Unavailable
from toolbox.settings import ReleaseArchive, Tool

NAME = "release archive"

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def offers(tool: Tool) -> bool:
    """Whether an archive of the tool is known."""
    return tool.archive is not None


def fill(tool: Tool, fresh: Path) -> None:
    """Download, check and unpack the archive into ``fresh / "root"``; link its programs into ``fresh / "bin"``.

    Raises Alarm, which ends the run, when the archive isn't the published one or reaches outside its folder.
    """
    if tool.archive is None:
        raise Unavailable("no archive of it is known")
    url, checksums = addresses(tool, tool.archive)
    file = fresh / url.rpartition("/")[2]
    wanted = published_checksum(download.text(checksums), file.name, checksums)
    with progress.doing(f"{tool.name} {tool.version}: downloading {url}"):
        download.to_file(url, file)
    got = _sha256(file)
    if got != wanted:
        raise Alarm(
            f"{tool.name} {tool.version}: {url} has SHA-256 {got}, but {checksums} says {wanted}. "
            "The file was damaged or tampered with; nothing of it was unpacked. "
            "Find out what happened to it before you go on: other sources are not tried."
        )
    _unpack(file, fresh / "root")
    file.unlink()
    for program in (*tool.programs, *tool.companions):
        found = next((path for path in sorted((fresh / "root").rglob(program)) if path.is_file()), None)
        if found is not None:
            (fresh / "bin" / program).symlink_to(Path("..") / found.relative_to(fresh))
        elif program in tool.programs:
            raise Unavailable(f"{url} holds no {program}")


def addresses(tool: Tool, archive: ReleaseArchive) -> tuple[str, str]:
    """Where the archive and its checksum file are: the publisher's addresses, or $MODELYARD_TOOLS_MIRROR's.

    Raises Unavailable on an architecture nobody publishes for.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine not in _ARCHITECTURES:
        raise Unavailable(f"nothing is published for {system} on {machine}")
    arch = _ARCHITECTURES[machine]
    names = {"version": tool.version, "os": archive.os.get(system, system), "arch": archive.arch.get(arch, arch)}
    official = archive.url.format(**names), archive.checksums.format(**names)
    mirror = os.environ.get("MODELYARD_TOOLS_MIRROR")
    if not mirror:
        return official
    url, checksums = (f"{mirror.rstrip('/')}/{tool.name}/{tool.version}/{name.rpartition('/')[2]}" for name in official)
    return url, checksums


def published_checksum(text: str, file: str, origin: str) -> str:
    """The SHA-256 that a checksum file (``<hex>  <name>`` lines) gives for a file."""
    for line in text.splitlines():
        checksum, _, name = line.strip().partition(" ")
        if name.strip().lstrip("*").removeprefix("./") == file and len(checksum) == 64:
            return checksum.lower()
    raise Unavailable(f"{origin} has no checksum for {file}")


def _unpack(file: Path, folder: Path) -> None:
    """Unpack regular files only, and only into ``folder``.

    Stricter than tarfile's own ``filter="data"``, which Python has from 3.11.4 on: Debian 12's is 3.11.2. Without links
    there is nothing that could lead a later file elsewhere.
    """
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    target = _inside(folder, member.name, file)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content, target.open("wb") as output:
                        shutil.copyfileobj(content, output, 1 << 20)
                    target.chmod(0o755 if member.mode & 0o111 else 0o644)
    except (tarfile.TarError, EOFError) as error:
        raise Unavailable(f"{file.name} is not a readable archive ({error})") from error


def _inside(folder: Path, name: str, file: Path) -> Path:
    target = Path(os.path.normpath(folder / name))
    if not target.is_relative_to(folder):
        raise Alarm(
            f"{file.name} was refused although its checksum is the published one: it wants to write to {name}, outside "
            "its folder. An honest archive has no such entry; find out where it comes from before you go on."
        )
    return target


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
