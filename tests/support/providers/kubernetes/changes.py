"""What an apply would change, and which changes ask for a new object: values in, values out."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.support.providers.kubernetes.values import Path, at

# Not the program's: the server's own bookkeeping.
_BOOKKEEPING = frozenset(
    [("status",)]
    + [("metadata", key) for key in ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")]
)

_SELECTOR = ("spec.selector",)
_ROLE = ("roleRef",)

# The official provider's table, without that of bare Pods and of in-tree volumes: for these the API server's word does.
_REPLACING: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "StatefulSet"): (
        *_SELECTOR,
        *("spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.serviceName", "spec.volumeClaimTemplates"),
    ),
    ("batch", "Job"): (*_SELECTOR, "spec.completions", "spec.parallelism", "spec.template"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _ROLE,
    ("rbac.authorization.k8s.io", "RoleBinding"): _ROLE,
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
    ("", "PersistentVolumeClaim"): (*_SELECTOR, "spec.accessModes", "spec.storageClassName", "spec.volumeName"),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
}
_CONTENTS = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}


class Change(Enum):
    """What becomes of a field."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Difference:
    """What there is to do. ``replaces`` are the paths of ``changes`` that ask for a new object."""

    changes: Mapping[Path, Change]
    replaces: frozenset[Path] = frozenset()
    delete_first: bool = False


def changed(old: Any, new: Any, path: Path = ()) -> dict[Path, Change]:
    """The fields in which two objects differ; a list whose length differs counts as one field."""
    if path in _BOOKKEEPING:
        return {}
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[Path, Change] = {}
        for key in {**old, **new}:
            below = (*path, key)
            if below in _BOOKKEEPING:
                continue
            if key not in new:
                found[below] = Change.DELETE
            elif key not in old:
                found[below] = Change.ADD
            else:
                found |= changed(old[key], new[key], below)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return {
            where: change
            for index, pair in enumerate(zip(old, new, strict=True))
            for where, change in changed(*pair, (*path, index)).items()
        }
    return {} if old == new else {path: Change.UPDATE}


def replacing(
    wanted: Mapping[str, Any],
    live: Mapping[str, Any],
    paths: Iterable[Path],
    *,
    mutable_kinds: Iterable[str] = (),
) -> frozenset[Path]:
    """Those of the changed paths that ask for a new object.

    Args:
        wanted: The program's object.
        live: The API server's.
        paths: What changes.
        mutable_kinds: Those of ConfigMap and Secret whose contents may be changed in place.
    """
    kind = wanted.get("kind", "")
    rules = _REPLACING.get((group(wanted), kind), ())
    if group(wanted) == "" and kind in _CONTENTS and (kind not in mutable_kinds or live.get("immutable")):
        rules = (*rules, *_CONTENTS[kind])
    steps = [tuple(rule.split(".")) for rule in ("metadata.name", "metadata.namespace", *rules)]
    return frozenset(path for path in paths if any(_overlap(path, rule) for rule in steps))


def group(value: Mapping[str, Any]) -> str:
    """The API group of an object; empty for the core one."""
    before, slash, _ = str(value.get("apiVersion", "")).partition("/")
    return before if slash else ""


def without(changes: Mapping[Path, Change], ignored: Iterable[Path]) -> dict[Path, Change]:
    """The changes that lie below none of the ignored paths; `*` in these stands for any step."""
    ignored = list(ignored)
    return {path: change for path, change in changes.items() if not any(_below(path, one) for one in ignored)}


def keeping(wanted: Mapping[str, Any], live: Mapping[str, Any], ignored: Iterable[Path]) -> dict[str, Any]:
    """The program's object with the API server's values at the ignored paths: applied, it changes none of these."""
    kept = copy.deepcopy(dict(wanted))
    for path in ignored:
        value = at(live, path)
        if value is not None:
            _put(kept, path, value)
    return kept


def as_found(inputs: Mapping[str, Any], live: Mapping[str, Any], changes: Mapping[Path, Change]) -> dict[str, Any]:
    """A program's inputs as they would read if what was changed behind its back had been its wish.

    Args:
        inputs: What the program asked for last.
        live: The API server's object.
        changes: Which fields an apply of the inputs would change.
    """
    found = copy.deepcopy(dict(inputs))
    for path in changes:
        if group(inputs) == "" and inputs.get("kind") == "Secret" and at(inputs, ("stringData", path[-1])) is not None:
            _take(found, ("stringData", path[-1]))  # it shows as `data`
        whole = path[: next((index for index, step in enumerate(path) if isinstance(step, int)), len(path))]
        value = at(live, whole)
        if value is None:
            _take(found, whole)
        else:
            _put(found, whole, copy.deepcopy(value))
    return found


def property_path(path: Sequence[str | int]) -> str:
    """A path as Pulumi writes it.

    >>> property_path(("metadata", "labels", "app.kubernetes.io/name"))
    'metadata.labels["app.kubernetes.io/name"]'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_$][\w$-]*", step):
            text += f".{step}" if text else step
        else:
            text += '["' + step.replace('"', '\\"') + '"]'
    return text


def parsed_path(text: str) -> Path:
    """A path that Pulumi wrote.

    >>> parsed_path('spec.containers[0].env["a.b"]')
    ('spec', 'containers', 0, 'env', 'a.b')
    """
    steps = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\[(\*)\]|([^.\[\]]+)', text)
    return tuple(int(index) if index else quoted or star or plain for quoted, index, star, plain in steps)


def _overlap(one: Path, other: Path) -> bool:
    return all(left == right for left, right in zip(one, other, strict=False))


def _below(path: Path, above: Path) -> bool:
    return len(path) >= len(above) and all(step in ("*", found) for found, step in zip(path, above, strict=False))


def _put(value: dict[str, Any], path: Path, new: Any) -> None:
    """Set a value, making the objects on its way; where a list has no such item, nothing."""
    *way, last = path
    place: Any = value
    for step in way:
        place = place.setdefault(step, {}) if isinstance(place, dict) else at(place, (step,))
    is_item = isinstance(place, list) and isinstance(last, int) and last < len(place)
    if is_item or isinstance(place, dict):
        place[last] = new


def _take(value: dict[str, Any], path: Path) -> None:
    place = at(value, path[:-1])
    if isinstance(place, dict):
        place.pop(path[-1], None)
