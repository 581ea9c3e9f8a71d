"""Asks a program which version it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from toolbox import commands
from toolbox.errors import Unavailable
from toolbox.settings import Tool


def version(tool: Tool, bin_folder: Path) -> str:
    """The version that the programs in ``bin_folder`` report, or have in themselves.

    Raises Unavailable when they don't run or don't say: a program for another system, a broken link, a missing library.
    """
    if not tool.version_command:
        return _in_file(tool, bin_folder / tool.programs[0])
    program, *arguments = tool.version_command
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    output = commands.run([str(bin_folder / program), *arguments], env=environment, seconds=20)
    match = re.search(tool.version_pattern, output, re.MULTILINE)
    if match is None:
        raise Unavailable(f"`{' '.join(tool.version_command)}` names no version: {output.strip()[:200]!r}")
    return match[1]


def _in_file(tool: Tool, program: Path) -> str:
    """Of programs that can't be asked: Go writes the modules that it builds one of into it."""
    try:
        match = re.search(tool.version_pattern.encode(), program.read_bytes())
    except OSError as error:
        raise Unavailable(f"can't read {program}: {error.strerror}") from error
    if match is None:
        raise Unavailable(f"{program} has no version in it")
    return match[1].decode()
