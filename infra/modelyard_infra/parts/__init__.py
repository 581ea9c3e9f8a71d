"""The parts of a platform. A part's folder has one file per kind, and the file's name is the kind.

A kind's module exports `Settings` and `build(settings, inputs) -> contract`, and `NEEDS`, the parts whose contracts it
uses; what else it may export, `Kind` says. Only the chosen kind is imported: a local stack never pays for a cloud SDK.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from modelyard.errors import ModelyardError
from modelyard_infra.contracts import Reachable

ORDER = (
    "images",
    "cluster",
    "edge",
    "registry_database",
    "artifact_store",
    "tracking_server",
    "serving_cluster",
    "monitoring",
)
"""The parts, each after those it may need."""

HOLD_DATA = frozenset({"registry_database", "artifact_store"})
"""Parts whose kind can't change without moving data."""


class PartSettings(BaseModel):
    """What every kind's settings have in common; `kind` itself is read before the kind's module is known.

    Strict: `true` is no number and `"off"` no boolean; a list may stand for a tuple, and a whole number for a float.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _nothing(_settings: PartSettings) -> Mapping[str, str]:
    return {}


def _no_misfit(_settings: PartSettings, _others: Mapping[str, PartSettings]) -> Iterator[tuple[str, str, str]]:
    return iter(())


@dataclass(frozen=True)
class Kind:
    """One chosen kind of a part, loaded.

    Attributes:
        images: What its pods run.
        volumes: Whether it keeps data on the cluster's volumes.
        apis: What others have to have installed in the cluster, as a path below `/apis`, and how.
        place: Settings that say where the data is, by their keys: a change would leave it behind.
        misfits: What of its settings doesn't go with those of other parts: the key, what is wrong, what to do.
    """

    part: str
    name: str
    settings: type[PartSettings]
    build: Callable[..., Reachable]
    needs: tuple[str, ...]
    images: tuple[str, ...] = ()
    volumes: bool = False
    apis: Callable[[Any], Mapping[str, str]] = _nothing
    place: Callable[[Any], Mapping[str, str]] = _nothing
    misfits: Callable[[Any, Mapping[str, Any]], Iterator[tuple[str, str, str]]] = _no_misfit

    @property
    def in_cluster(self) -> bool:
        """Whether it runs in a Kubernetes cluster, not on this machine."""
        return "cluster" in self.needs


def kinds(part: str) -> list[str]:
    """The kinds a part can be."""
    folder = importlib.import_module(f"{__name__}.{part}")
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_"))


def load(part: str, kind: str) -> Kind:
    """Import one kind.

    Raises:
        ModelyardError: the part has no such kind.
    """
    if kind not in kinds(part):
        raise ModelyardError(f"{part} has no kind {kind!r}", fix=f"its kinds are: {', '.join(kinds(part))}")
    module = cast(Any, importlib.import_module(f"{__name__}.{part}.{kind}"))
    return Kind(
        part,
        kind,
        module.Settings,
        module.build,
        tuple(module.NEEDS),
        images=tuple(getattr(module, "IMAGES", ())),
        volumes=getattr(module, "VOLUMES", False),
        apis=getattr(module, "apis", _nothing),
        place=getattr(module, "place", _nothing),
        misfits=getattr(module, "misfits", _no_misfit),
    )
