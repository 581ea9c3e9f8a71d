"""A pinned Go module, built here: go.sum and Go's checksum database vouch for what goes in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
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
    copy_files(tool, fresh)


def files_current(tool: Tool, place: Path) -> bool:
    """Whether the files beside a built tool's programs are in ``place``: this repository's as they are now."""
    if tool.go is None:
        return True
    own = all(_same(tool.go.folder / name, place / target) for target, name in tool.go.own_files.items())
    return own and all((place / target).exists() for target in tool.go.module_files)


def copy_files(tool: Tool, place: Path) -> None:
    """Put the files beside a built tool's programs into ``place``, each in one step: they may be in use."""
    if tool.go is None:
        return
    for target, name in tool.go.own_files.items():
        _copy(tool.go.folder / name, place / target)
    if missing := {target: name for target, name in tool.go.module_files.items() if not (place / target).exists()}:
        _copy_from_modules(tool.go, missing, place)


def _build(tool: Tool, go: GoModule, fresh: Path) -> None:
    program = str(go_toolchain.find(go.folder / "go.mod"))
    ldflags = f"-s -w {go.ldflags.format(version=tool.version)}".strip()
    build = [program, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", ldflags]
    commands.run([*build, "-o", f"{fresh / 'bin'}/", *go.packages], cwd=go.folder, env=_environment(), seconds=3600)


def _copy_from_modules(go: GoModule, files: Mapping[str, str], place: Path) -> None:
    """Take files out of modules of the build, which are downloaded for it if need be."""
    program = str(go_toolchain.find(go.folder / "go.mod"))
    folders: dict[str, Path] = {}
    for target, file in files.items():
        module, path = file.split()
        if module not in folders:
            said = commands.run([program, "mod", "download", "-json", module], cwd=go.folder, env=_environment())
            folders[module] = Path(json.loads(said)["Dir"])
        _copy(folders[module] / path, place / target)


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
