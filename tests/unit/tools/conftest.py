"""A tool to get, and everything it may come from, made of small scripts and local folders: no network."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

from toolbox import commands, download
from toolbox.settings import DebianPackage, GoModule, ReleaseArchive, Tool
from toolbox.sources import debian

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]
Release = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, a PATH that holds this test's programs alone, nothing remembered of earlier tests."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MODELYARD_TOOLS_MIRROR", raising=False)
    monkeypatch.setattr(download, "_unreachable", {})
    monkeypatch.setattr(debian, "_updated", set())
    monkeypatch.setattr(commands, "_stopping", threading.Event())


@pytest.fixture
def program(tmp_path: Path) -> MakeProgram:
    """Make an executable sh script on PATH."""

    def make(name: str, script: str) -> Path:
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    return make


@pytest.fixture
def tool(tmp_path: Path) -> MakeTool:
    """Make the tool `greeter`, wanted at 2.0.0, good from 1.5.0; keywords change its fields."""

    def make(**fields: object) -> Tool:
        values: dict[str, object] = {
            "name": "greeter",
            "version": "2.0.0",
            "minimum": "1.5.0",
            "programs": ("greeter",),
            "version_command": ("greeter", "--version"),
            "version_pattern": r"greeter (\d+\.\d+\.\d+)",
        }
        return Tool(**{**values, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture
def debian_package() -> DebianPackage:
    """What Debian calls greeter."""
    return DebianPackage(package="debian-greeter", names={"greeter": "debian-greeter"})


@pytest.fixture
def go_module(tmp_path: Path) -> GoModule:
    """A module folder that asks for Go 1.25 and adds a file of its own."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module greeter\n\ngo 1.25.11\n")
    (folder / "welcome.sh").write_text("echo welcome\n")
    return GoModule(folder=folder, packages=("./greeter",), minutes=1, own_files={"lib/welcome.sh": "welcome.sh"})


@pytest.fixture
def go(program: MakeProgram) -> Callable[..., Path]:
    """Put a `go` on PATH: of a version, and building a greeter after so many seconds."""

    def make(version: str = "1.26.8", seconds: float = 0) -> Path:
        return program(
            "go",
            f'if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi\n'
            f'echo build >> "$MODELYARD_CACHE/builds"; /bin/sleep {seconds}\n'
            'while [ "$1" != -o ]; do shift; done\n'
            'printf \'#!/bin/sh\\necho greeter 2.0.0\\n\' > "$2/greeter"; /bin/chmod 755 "$2/greeter"',
        )

    return make


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Publish greeter's archive and checksum file in a mirror's layout; returns the mirror's folder."""

    def publish(
        member: str = "greeter-2.0.0/greeter",
        says: str = "greeter 2.0.0",
        checksum: str | None = None,
        link_to: str = "",
    ) -> Path:
        folder = tmp_path / "mirror" / "greeter" / "2.0.0"
        folder.mkdir(parents=True)
        content = f"#!/bin/sh\necho {says}\n".encode()
        entry = tarfile.TarInfo(member)
        entry.size, entry.mode = len(content), 0o755
        with tarfile.open(folder / "greeter.tar.gz", "w:gz") as archive:
            if link_to:
                link = tarfile.TarInfo("greeter-2.0.0/link")
                link.type, link.linkname = tarfile.SYMTYPE, link_to
                archive.addfile(link)
            archive.addfile(entry, io.BytesIO(content))
        right = hashlib.sha256((folder / "greeter.tar.gz").read_bytes()).hexdigest()
        (folder / "sums.txt").write_text(f"{'0' * 64}  other.tar.gz\n{checksum or right}  greeter.tar.gz\n")
        return tmp_path / "mirror"

    return publish


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The mirror's folder over HTTP; gives the address."""
    (tmp_path / "mirror").mkdir(exist_ok=True)
    handler = partial(QuietHandler, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and keeps no log."""

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def archive() -> Callable[[str], ReleaseArchive]:
    """A release at an address in the mirror's layout."""

    def at(address: str) -> ReleaseArchive:
        folder = f"{address}/greeter/{{version}}"
        return ReleaseArchive(url=f"{folder}/greeter.tar.gz", checksums=f"{folder}/sums.txt")

    return at
