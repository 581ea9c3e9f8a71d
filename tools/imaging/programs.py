"""The programs of tools.toml that go into images: out of the official archive, else built from the pinned Go module.

Never what PATH or Debian has: an image is the same wherever it is built, and its programs need no library of this
machine's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from toolbox import cache, commands, probe, progress, settings
from toolbox.errors import ToolError, Unavailable
from toolbox.settings import Tool
from toolbox.sources import archive, go_module

SOURCES = (archive, go_module)


def stage(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Put the programs of these tools into ``folder``; returns each tool's version.

    Raises ToolError when one is not to be had.
    """
    known = settings.load()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in names:
        place = _had(known[name])
        for program in known[name].programs:
            shutil.copyfile(place / program, folder / program)
            (folder / program).chmod(0o755)
    return {name: known[name].version for name in names}


def _had(tool: Tool) -> Path:
    """The folder of a tool's programs: the tools' own cache where it got them the same way, else the images'."""
    installed = cache.current(tool)
    if installed and installed.version == tool.version and installed.source in {source.NAME for source in SOURCES}:
        return cache.bin_folder(tool)
    place = cache.root() / "images" / "programs" / tool.name / tool.version
    waiting = f"{tool.name}: waiting for another build of images"
    with cache.locked(f"images/programs/{tool.name}", lambda: progress.say(waiting)):
        if not (place / cache.RECORD).exists():
            _get(tool, place)
    return place / "bin"


def _get(tool: Tool, place: Path) -> None:
    refusals = []
    for source in SOURCES:
        commands.checkpoint()
        try:
            with cache.partial(place) as fresh:
                (fresh / "bin").mkdir()
                source.fill(tool, fresh)
                version = probe.version(tool, fresh / "bin")
                cache.publish(fresh, place, cache.Installed(version=version, source=source.NAME, stamps={}))
        except (Unavailable, OSError) as reason:
            refusals.append(f"  {source.NAME}: {reason}")
        else:
            return
    raise ToolError("\n".join([f"{tool.name} {tool.version}, which goes into an image, is not to be had:", *refusals]))
