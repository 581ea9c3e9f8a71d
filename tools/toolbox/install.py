"""Gets one tool: the sources in order, until one serves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from toolbox import cache, commands, probe, progress
from toolbox.errors import ToolError, Unavailable
from toolbox.settings import Tool
from toolbox.sources import archive, debian, go_module, on_path


class Source(Protocol):
    """A module of toolbox.sources."""

    NAME: str

    def offers(self, tool: Tool) -> bool:
        """Whether tools.toml says how to get the tool from here."""

    def fill(self, tool: Tool, fresh: Path) -> None:
        """Put the tool's programs into ``fresh / "bin"``, or raise Unavailable."""


SOURCES: tuple[Source, ...] = (on_path, debian, archive, go_module)


def ready(tool: Tool) -> bool:
    """Whether the tool is in the cache, whole, good enough and with the files beside its programs up to date."""
    installed = _current(tool)
    if installed is None:
        return False
    return installed.source != go_module.NAME or go_module.files_current(tool, cache.folder(tool))


def ensure(tool: Tool) -> None:
    """Have the tool in the cache; nothing happens when it is there.

    Raises ToolError when no source can give it, Alarm when a download can't be trusted.
    """
    if ready(tool):
        return
    started = time.monotonic()
    waiting = f"{tool.name}: waiting for another run of tools/get.py"
    with cache.locked(tool.name, lambda: progress.say(waiting)):
        if _current(tool):
            if not ready(tool):
                go_module.copy_files(tool, cache.folder(tool))
            return
        refusals = []
        for source in SOURCES:
            commands.checkpoint()
            try:
                version = _get(tool, source)
            except (Unavailable, OSError) as reason:
                refusals.append(f"  {source.NAME}: {reason}")
            else:
                progress.say(f"{tool.name} {version}: from {source.NAME} ({progress.elapsed(started)})")
                return
    raise ToolError(_nowhere(tool, refusals))


def _current(tool: Tool) -> cache.Installed | None:
    """What the cache holds of a tool, unless it came from where tools.toml has since stopped taking it from."""
    installed = cache.current(tool)
    offered = {source.NAME for source in SOURCES if source.offers(tool)}
    return installed if installed and installed.source in offered else None


def _get(tool: Tool, source: Source) -> str:
    with cache.partial(cache.folder(tool)) as fresh:
        (fresh / "bin").mkdir()
        source.fill(tool, fresh)
        version = probe.version(tool, fresh / "bin")
        if not tool.serves(version):
            raise Unavailable(f"it gave version {version}")
        installed = cache.Installed(version=version, source=source.NAME, stamps=cache.stamps(tool, fresh))
        cache.publish(fresh, cache.folder(tool), installed)
    return version


def _nowhere(tool: Tool, refusals: list[str]) -> str:
    return "\n".join(
        [
            f"{tool.name} is not to be had here. What each source said:",
            *refusals,
            f"Either put {' and '.join(tool.programs)} ({tool.wanted}) on PATH yourself, or set MODELYARD_TOOLS_MIRROR "
            f"to a folder or URL that holds {tool.name}/{tool.version}/<archive, checksum file>; then run this again.",
        ]
    )
