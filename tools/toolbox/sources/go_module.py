"""A pinned Go module, built here: go.sum and Go's checksum database vouch for what goes in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from toolbox import cache, commands, go_toolchain, progress
from toolbox.errors import Unavailable
from toolbox.settings import GoModule, Tool

NAME = "Go module"


def offers(tool: Tool) -> bool:
    """Whether a module of the tool is known."""
    return tool.go is not None


def fill(tool: Tool, fresh: Path) -> None:
    """Build the tool's packages into ``fresh / "bin"`` and put its further files beside them."""
    if tool.go is None:
        raise Unavailable("no module of it is known to build")
    with cache.locked("go"):  # one build at a time: each takes every core
        minutes = "a minute" if tool.go.minutes == 1 else f"{tool.go.minutes} minutes"
        progress.say(f"{tool.name} {tool.version}: building from its Go module (about {minutes}, once per machine)")
        _build(tool, tool.go, fresh)
    copy_own_files(tool, fresh)


def own_files_current(tool: Tool, place: Path) -> bool:
    """Whether the files that this repository adds to a built tool are the ones in ``place``."""
    if tool.go is None:
        return True
    return all(_same(tool.go.folder / name, place / target) for target, name in tool.go.own_files.items())


def copy_own_files(tool: Tool, place: Path) -> None:
    """Put the files that this repository adds into ``place``, each in one step: they may be in use."""
    if tool.go is not None:
        for target, name in tool.go.own_files.items():
            _copy(tool.go.folder / name, place / target)


def _build(tool: Tool, go: GoModule, fresh: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    program = str(go_toolchain.find(go.folder / "go.mod"))
    ldflags = f"-s -w {go.ldflags.format(version=tool.version)}".strip()
    build = [program, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", ldflags]
    commands.run([*build, "-o", f"{fresh / 'bin'}/", *go.packages], cwd=go.folder, env=environment, seconds=3600)
    for target, file in go.module_files.items():
        module, path = file.split()
        listing = [program, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
        folder = Path(commands.run(listing, cwd=go.folder, env=environment).strip())
        _copy(folder / path, fresh / target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
