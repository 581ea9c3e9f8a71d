"""The provider's own configuration: what it may hold, and what a change of it means."""

import json
import os
from typing import Any

from tests.support.providers.kubernetes.changes import Change, Difference, changed
from tests.support.providers.kubernetes.errors import ProviderError, Unsupported
from tests.support.providers.kubernetes.kubeconfig import connection
from tests.support.providers.kubernetes.state import Options
from tests.support.providers.kubernetes.values import UNKNOWN

_MUTABLE = {
    "ConfigMap": ("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
    "Secret": ("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
}
_WHICH_SERVER = ("kubeconfig", "context")
_TEXTS = (*_WHICH_SERVER, "cluster", "namespace", "renderYamlToDirectory")


def unpacked(inputs: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the values that the engine passes as JSON (all that aren't text) as they were meant."""
    known = {key: value for key, value in inputs.items() if value is not UNKNOWN}
    return {key: value if key in _TEXTS else _unpacked(value) for key, value in known.items()}


def wrong(inputs: dict[str, Any]) -> dict[str, str]:
    """What this provider can't do, by key."""
    asked = unpacked(inputs)
    found = {}
    if asked.get("enableServerSideApply", True) is False:
        found["enableServerSideApply"] = str(Unsupported("client-side apply"))
    for key in ("renderYamlToDirectory", "cluster", "deleteUnreachable", "skipUpdateUnreachable"):
        if asked.get(key):
            found[key] = str(Unsupported(f"`{key}`"))
    return found


def options(asked: dict[str, Any]) -> Options:
    """The part of a configuration that says how resources are treated."""
    mutable = {kind for kind, (key, variable) in _MUTABLE.items() if _is_on(asked, key, variable)}
    return Options(
        namespace=asked.get("namespace") or "",
        mutable_kinds=frozenset(mutable),
        patch_force=_is_on(asked, "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        upsert=_is_on(asked, "upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
    )


def difference(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    """What a change of the configuration means: another API server asks for all resources anew."""
    found = dict.fromkeys((path for path in changed(old, new) if path[0] != "version"), Change.UPDATE)
    before, after = _server(old), _server(new)
    moves = before is not None and after is not None and before != after
    return Difference(found, frozenset(path for path in found if moves and path[0] in _WHICH_SERVER))


def _server(inputs: dict[str, Any]) -> str | None:
    """The API server's address; None as long as it can't be known."""
    if any(inputs.get(key) is UNKNOWN for key in _WHICH_SERVER):
        return None
    try:
        return connection(inputs.get("kubeconfig") or None, inputs.get("context") or None).server
    except ProviderError:
        return None


def _unpacked(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _is_on(asked: dict[str, Any], key: str, variable: str) -> bool:
    return bool(asked.get(key, os.environ.get(variable) == "true"))
