"""How people name a model version (`NAME`, `NAME@ALIAS`, `NAME/VERSION`), and what that comes to."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard.errors import ModelyardError

NEWEST = "latest"  # reserved by MLflow: never the name of an alias
_ALIAS = re.compile(r"[\w-]+")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_LISTED = 20


@dataclass(frozen=True)
class ModelVersion:
    """One registered version.

    Attributes:
        source: The URI of the folder that holds its files.
    """

    name: str
    version: int
    source: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    Attributes:
        path: Relative to the model's folder, with slashes.
        size: Bytes; None if the server does not say.
    """

    path: str
    size: int | None


@dataclass(frozen=True)
class Reference:
    """A model version as somebody named it: by alias (`latest`: the newest), by version, or by the model alone."""

    name: str
    alias: str | None = None
    version: int | None = None


def parse_reference(text: str) -> Reference:
    """Read a reference.

    >>> parse_reference("bike-demand@champion")
    Reference(name='bike-demand', alias='champion', version=None)
    >>> parse_reference("models:/bike-demand/3")
    Reference(name='bike-demand', alias=None, version=3)

    Raises:
        ModelyardError: it is not one.
    """
    name, slash, version = text.strip().removeprefix("models:/").partition("/")
    name, at, alias = (name, "", "") if slash else name.partition("@")
    if slash and version == NEWEST:
        slash, version, alias = "", "", NEWEST
    right_alias = not at or _ALIAS.fullmatch(alias)
    right_version = not slash or _VERSION.fullmatch(version)
    if not name.strip() or ":" in name or not right_alias or not right_version:
        raise ModelyardError(
            f"{text!r} does not name a model version",
            fix="write NAME, NAME@ALIAS or NAME/VERSION, as in bike-demand@champion or bike-demand/3",
        )
    return Reference(name, alias or None, int(version) if version else None)


def choices(what: str, known: Iterable[str], wanted: str) -> str:
    """What somebody could have meant: the nearest one, and all of them."""
    ordered = sorted(known, key=lambda one: -difflib.SequenceMatcher(None, wanted, one.split(" (")[0]).ratio())
    near = difflib.get_close_matches(wanted, [one.split(" (")[0] for one in ordered], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}{what}: {listed(ordered)}"


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
