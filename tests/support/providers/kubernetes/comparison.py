"""Asks the API server what an apply would do, without doing it: for diffs, refreshes and previews."""

import copy
from collections.abc import Iterable, Sequence

from tests.support.providers.kubernetes import changes
from tests.support.providers.kubernetes.api import Object, Place
from tests.support.providers.kubernetes.changes import Change, Difference
from tests.support.providers.kubernetes.cluster import Cluster
from tests.support.providers.kubernetes.errors import Refused, UnknownKind
from tests.support.providers.kubernetes.state import Resource, State, manager_of, outputs_of
from tests.support.providers.kubernetes.values import UNKNOWN, Path, Properties, at


def difference(
    cluster: Cluster, resource: Resource, old: State, inputs: Properties, ignored: Sequence[Path]
) -> Difference:
    """What an update would change in the API server's object, whoever made the difference."""
    wanted = inputs.value
    found = changes.changed(old.inputs.value, wanted)
    moves = _moves(cluster, old.id, wanted)
    fixed: Iterable[Path] = ()
    live: Object = {}
    if moves:
        found[("metadata", moves)] = Change.UPDATE
    elif not inputs.has_unknowns:
        live, found, fixed = _against_live(cluster, old, wanted, manager_of(resource.urn, old.outputs), ignored, found)
    found = changes.without(found, ignored)
    replaces = changes.replacing(wanted, live, found, mutable_kinds=cluster.options.mutable_kinds)
    replaces |= frozenset(path for path in fixed if path in found)
    if _is_unready_job(cluster, wanted, live):
        path = ("metadata", "annotations", "pulumi.com/replaceUnready")
        found[path], replaces = Change.UPDATE, replaces | {path}
    return Difference(found, replaces, delete_first=bool(replaces) and not moves)


def drift(cluster: Cluster, place: Place, inputs: Object, live: Object, manager: str) -> dict[Path, Change]:
    """What an apply of the last inputs would change: what others have changed since."""
    try:
        would = cluster.apply(place, inputs, manager, dry_run=True, force=True)
    except Refused:
        return {}  # what can't be applied any more shows as a replacement at the next update
    return changes.changed(live, would)


def previewed(cluster: Cluster, resource: Resource, inputs: Properties) -> State:
    """What a new object would be, with the server's defaults where it can be asked."""
    if inputs.has_unknowns:
        return State("", inputs)
    manager = manager_of(resource.urn)
    try:
        made = _tried(cluster, inputs.value, manager)
    except UnknownKind:
        return State("", inputs)  # its definition may be made by the same update
    except Refused as error:
        if error.code == 404:
            return State("", inputs)  # so may its namespace
        raise
    made.pop("status", None)
    return State("", outputs_of(made, inputs, manager))


def _tried(cluster: Cluster, inputs: Object, manager: str) -> Object:
    place = cluster.place(inputs)
    try:
        return cluster.apply(place, inputs, manager, dry_run=True, force=True)
    except Refused as error:
        if not error.immutable_fields:
            raise
    # The object that this one is to replace is still there: it is tried under another name.
    other = copy.deepcopy(inputs)
    other["metadata"]["name"] += "-preview"
    made = cluster.apply(cluster.place(other), other, manager, dry_run=True, force=True)
    made["metadata"]["name"] = place.name
    return made


def _moves(cluster: Cluster, old_id: str, wanted: Object) -> str:
    """`name` or `namespace` if it would be another object, or might be one; else nothing."""
    namespace, _, name = old_id.rpartition("/")
    metadata = wanted["metadata"]
    if metadata is UNKNOWN or metadata.get("name") != name:
        return "name"
    if metadata.get("namespace") is UNKNOWN:
        return "namespace"
    try:
        return "namespace" if cluster.place(wanted).namespace != namespace else ""
    except UnknownKind:
        return ""


def _against_live(
    cluster: Cluster, old: State, wanted: Object, manager: str, ignored: Sequence[Path], asked: dict[Path, Change]
) -> tuple[Object, dict[Path, Change], Iterable[Path]]:
    """The API server's object, what an apply would change in it, and what it says can't be changed.

    Args:
        asked: What the program changed; it counts where the object can't be compared.
    """
    try:
        place = cluster.place(wanted)
    except UnknownKind:
        return {}, asked, ()
    live = cluster.api.get(place)
    if live is None:
        return {}, asked, ()  # like the official provider, which leaves finding out to a refresh
    try:
        would = cluster.apply(place, changes.keeping(wanted, live, ignored), manager, dry_run=True)
    except Refused as error:
        fixed = [changes.parsed_path(name) for name in error.immutable_fields]
        if not fixed:
            raise
        return live, {**asked, **dict.fromkeys(fixed, Change.UPDATE)}, fixed
    return live, changes.changed(live, would), ()


def _is_unready_job(cluster: Cluster, wanted: Object, live: Object) -> bool:
    asked = at(wanted, ("metadata", "annotations", "pulumi.com/replaceUnready")) == "true"
    return asked and live.get("kind") == "Job" and not cluster.patience.verdict(live).ready
