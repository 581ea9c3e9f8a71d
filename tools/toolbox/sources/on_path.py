"""A tool that is on PATH already: its programs are linked, nothing is copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from toolbox import cache, probe
from toolbox.errors import Unavailable
from toolbox.settings import Tool

NAME = "PATH"


def offers(tool: Tool) -> bool:
    """Any program may be on PATH."""
    return True


def fill(tool: Tool, fresh: Path) -> None:
    """Link the programs found on PATH into ``fresh / "bin"``.

    A program that isn't on PATH itself is also looked for beside the tool's first program, with links followed.
    """
    search = _search_path()
    first = _find(tool, tool.programs[0], search)
    if first is None:
        raise Unavailable(f"no {tool.programs[0]}")
    beside = str(first.resolve().parent)
    for program in (*tool.programs, *tool.companions):
        found = first if program == tool.programs[0] else _find(tool, program, f"{search}{os.pathsep}{beside}")
        if found is not None:
            (fresh / "bin" / program).symlink_to(found)
        elif program in tool.programs:
            raise Unavailable(f"{first} is there, {program} is not")
    version = probe.version(tool, fresh / "bin")
    if not tool.serves(version):
        raise Unavailable(f"{first} is version {version}")


def _search_path() -> str:
    """PATH without this cache, which `get.py --path` may have put there."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder and not Path(folder).is_relative_to(cache.root()))


def _find(tool: Tool, program: str, search: str) -> Path | None:
    names = [program, *([tool.debian.names[program]] if tool.debian and program in tool.debian.names else [])]
    for name in names:
        if found := shutil.which(name, path=search):
            return Path(found).absolute()
    return None
