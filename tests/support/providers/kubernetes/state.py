"""What the engine knows of a resource, and what it gets back for its state."""

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.support.providers.kubernetes.api import Object
from tests.support.providers.kubernetes.errors import ProviderError, Unsupported
from tests.support.providers.kubernetes.polling import Tell
from tests.support.providers.kubernetes.values import Properties, secrets_of

_MANAGER = "__fieldManager"


@dataclass(frozen=True)
class Resource:
    """One resource, as the engine names it.

    Attributes:
        type: Such as `kubernetes:apps/v1:Deployment`.
        tell: Shows a line beside the resource while it is worked on.
    """

    urn: str
    type: str
    tell: Tell


@dataclass(frozen=True)
class Options:
    """The provider's configuration, without what says which API server it is."""

    namespace: str = ""
    mutable_kinds: frozenset[str] = frozenset()
    patch_force: bool = False
    upsert: bool = False


@dataclass(frozen=True)
class State:
    """What the engine keeps of a resource."""

    id: str
    outputs: Properties
    inputs: Properties = field(default_factory=lambda: Properties({}))


class InitFailed(ProviderError):
    """The object exists, and is not what was asked for: the engine keeps it, and tries again the next time.

    Args:
        what: Was done to which object.
        reasons: The engine shows these, and not the message.
    """

    def __init__(self, state: State, what: str, reasons: list[str]) -> None:
        first, *more = reasons
        self.reasons = [f"{what}, but it is {first}", *more]
        super().__init__("; ".join(self.reasons))
        self.state = state


def api_version_and_kind(resource_type: str) -> tuple[str, str]:
    """Of a resource type such as `kubernetes:core/v1:Secret`.

    Raises:
        Unsupported: the type is no kind of the API server's.
    """
    package, _, rest = resource_type.partition(":")
    group_version, _, kind = rest.rpartition(":")
    group, slash, version = group_version.partition("/")
    if package != "kubernetes" or not kind or not slash or group in ("helm.sh", "yaml", "kustomize"):
        raise Unsupported(resource_type)
    if kind.endswith(("Patch", "List")):
        raise Unsupported(f"{resource_type}: only whole, single objects")
    return (version if group == "core" else group_version), kind


def manager_of(urn: str, outputs: Properties | None = None) -> str:
    """Who owns a resource's fields: as state has it, else the same for the same resource each time."""
    known = outputs.value.get(_MANAGER) if outputs else None
    return str(known or f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}")


def outputs_of(live: Object, inputs: Properties, manager: str) -> Properties:
    """What state gets: the live object, and what only the inputs have."""
    value: dict[str, Any] = copy.deepcopy(live)
    value["metadata"].pop("managedFields", None)
    if "stringData" in inputs.value:
        value["stringData"] = inputs.value["stringData"]
    value[_MANAGER] = manager
    return Properties(value, secrets_of(inputs, value))


def importable(live: Object) -> Object:
    """Inputs for an object that nobody has written down yet."""
    value = {key: copy.deepcopy(item) for key, item in live.items() if key != "status"}
    for key in ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"):
        value["metadata"].pop(key, None)
    return value
