"""tools.toml as values: which tools, which versions, where each may come from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolbox import versions

TOOLS_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class DebianPackage:
    """A package, what else is unpacked with it, and how its programs are called.

    ``names`` has, per program, the name Debian gives it where that differs; one with a slash is a path below /usr.
    ``also`` names packages that it needs: its programs are then started so that they find the libraries among these.
    ``environment`` is set for them besides; ``{libraries}`` stands for the folder of the libraries.
    """

    package: str
    names: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReleaseArchive:
    """Addresses with {version}, {os} and {arch}; ``os`` and ``arch`` translate Go's names into the publisher's."""

    url: str
    checksums: str
    arch: Mapping[str, str] = field(default_factory=dict)
    os: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GoModule:
    """What to build in ``folder``, and which files to put beside the programs.

    ``module_files`` maps a place in the tool's folder to a file of a module of the build (``<module> <path in it>``)
    or of another one (``<module>@<version> …``, which Go's checksum database alone vouches for), ``own_files`` to a
    file of ``folder``.
    """

    folder: Path
    packages: tuple[str, ...]
    minutes: int
    ldflags: str = ""
    module_files: Mapping[str, str] = field(default_factory=dict)
    own_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One table of tools.toml; without ``version_command``, the version is looked for in the first program's file.

    ``needed_by`` is ``platform``, or ``tests``: of a cluster, which nobody else runs.
    """

    name: str
    version: str
    minimum: str
    programs: tuple[str, ...]
    version_pattern: str
    version_command: tuple[str, ...] = ()
    needed_by: str = "platform"
    same_major: bool = False
    companions: tuple[str, ...] = ()
    debian: DebianPackage | None = None
    archive: ReleaseArchive | None = None
    go: GoModule | None = None

    def serves(self, found: str) -> bool:
        """Whether a version of this tool is good enough to use."""
        return versions.serves(found, minimum=self.minimum, major_of=self.version if self.same_major else None)

    @property
    def wanted(self) -> str:
        """The versions that serve, in words."""
        return f"{self.minimum} or newer" + (
            f", below {versions.parse(self.version)[0] + 1}" if self.same_major else ""
        )


def load(file: Path = TOOLS_FOLDER / "tools.toml") -> dict[str, Tool]:
    """Every tool, by name, in the file's order. A misspelt key raises TypeError, as it would in a call."""
    return {name: _tool(name, table, file.parent) for name, table in tomllib.loads(file.read_text()).items()}


def _tool(name: str, table: Mapping[str, Any], folder: Path) -> Tool:
    values = dict(table)
    for key in ("programs", "companions", "version_command"):
        values[key] = tuple(values.get(key, ()))
    if "debian" in values:
        debian = {**values["debian"], "also": tuple(values["debian"].get("also", ()))}
        values["debian"] = DebianPackage(**debian)
    if "archive" in values:
        values["archive"] = ReleaseArchive(**values["archive"])
    if "go" in values:
        go = {**values["go"], "packages": tuple(values["go"]["packages"])}
        values["go"] = GoModule(folder=folder / name, **go)
    return Tool(name=name, **values)
