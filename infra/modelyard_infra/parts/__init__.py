"""The parts of a platform. A part's folder has one file per kind, and the file's name is the kind.

A kind's module exports `Settings` and `build(settings, inputs) -> contract`, and `NEEDS`, the parts whose
contracts it uses; kinds in a cluster also `IMAGES`, the container images that they run, and `apis(settings)`, what has
to be installed there by others. Only the chosen kind is imported, so a local stack never pays for a cloud SDK.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
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


def _needs_no_apis(_settings: PartSettings) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Kind:
    """One chosen kind of a part, loaded."""

    part: str
    name: str
    settings: type[PartSettings]
    build: Callable[..., Reachable]
    needs: tuple[str, ...]
    images: tuple[str, ...] = ()
    apis: Callable[[Any], Mapping[str, str]] = _needs_no_apis

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
        apis=getattr(module, "apis", _needs_no_apis),
    )
