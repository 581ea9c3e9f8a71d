"""What the engine asks about resources, in Python's values: check, diff, create, read, update, delete."""

from collections.abc import Iterable
from functools import partial

from tests.support.providers.kubernetes import changes, comparison, waiting
from tests.support.providers.kubernetes.api import Object, Place
from tests.support.providers.kubernetes.changes import Difference
from tests.support.providers.kubernetes.cluster import Cluster
from tests.support.providers.kubernetes.errors import NotReady, ProviderError, UnknownKind
from tests.support.providers.kubernetes.state import (
    InitFailed,
    Resource,
    State,
    api_version_and_kind,
    importable,
    manager_of,
    outputs_of,
)
from tests.support.providers.kubernetes.values import UNKNOWN, Path, Properties, at, contents_of_secret, secrets_of


class Resources:
    """The operations on resources of one API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def check(self, resource: Resource, inputs: Properties) -> tuple[Properties, dict[str, str]]:
        """The inputs with all secrets marked, and what is wrong with them by property."""
        api_version, kind = api_version_and_kind(resource.type)
        value, wrong = inputs.value, {}
        if value.get("apiVersion", api_version) != api_version or value.get("kind", kind) != kind:
            wrong["apiVersion"] = f"{value.get('apiVersion')} {value.get('kind')} is not a {resource.type}"
        if not at(value, ("metadata", "name")) and at(value, ("metadata",)) is not UNKNOWN:
            wrong["metadata.name"] = "must be given: names made up by the provider are not for tests to rely on"
        wait = at(value, ("metadata", "annotations", waiting.CONDITION_ANNOTATION))
        if isinstance(wait, str) and not wait.startswith("condition="):
            wrong["metadata.annotations"] = f"the tests' provider can wait for `condition=…` only, not for {wait!r}"
        complete = {"apiVersion": api_version, "kind": kind, **value}
        return Properties(complete, inputs.secrets | contents_of_secret(complete)), wrong

    def diff(self, resource: Resource, old: State, inputs: Properties, ignored: Iterable[Path] = ()) -> Difference:
        """What an update would change in the API server's object, whoever made the difference."""
        return comparison.difference(self._cluster, resource, old, inputs, list(ignored))

    def create(self, resource: Resource, inputs: Properties, *, seconds: float, preview: bool) -> State:
        """Make the object and wait until it is ready.

        Args:
            seconds: For how long to wait; 0: what the object says, else ten minutes.
            preview: Only say what would come of it, as far as that can be known.

        Raises:
            InitFailed: it was made, and is not ready.
        """
        if preview:
            return comparison.previewed(self._cluster, resource, inputs)
        wanted, manager = inputs.value, manager_of(resource.urn)
        patience = waiting.patience(wanted, seconds)
        place = self._cluster.settled(partial(self._cluster.place, wanted))
        existing = self._cluster.api.get(place)
        if existing and at(existing, ("metadata", "deletionTimestamp")):
            uid = existing["metadata"]["uid"]
            self._cluster.patience.until_gone(place, uid, seconds=patience, tell=resource.tell)
        elif existing and not self._cluster.options.upsert and not self._cluster.forces(wanted):
            raise ProviderError(f'resource "{place.id}" already exists, and the state does not know it: import it')
        live = self._cluster.settled(partial(self._cluster.apply, place, wanted, manager))
        return self._awaited(resource, place, live, inputs, manager, patience, "created")

    def update(
        self,
        resource: Resource,
        old: State,
        inputs: Properties,
        *,
        ignored: Iterable[Path] = (),
        seconds: float,
        preview: bool,
    ) -> State:
        """Make the object what the inputs say, and wait until it is ready; arguments as for `create` and `diff`.

        Raises:
            InitFailed: it was changed, and is not ready.
        """
        if preview and inputs.has_unknowns:
            return State(old.id, inputs)
        manager = manager_of(resource.urn, old.outputs)
        place = self._cluster.settled(partial(self._cluster.place, inputs.value))
        live = self._cluster.api.get(place)
        if live is None:
            raise ProviderError(f"{place.kind} {place.id} is not there any more: `pulumi refresh` takes note of that")
        wanted = changes.keeping(inputs.value, live, ignored)
        changed = self._cluster.apply(place, wanted, manager, dry_run=preview)
        if preview:
            changed.pop("status", None)
            return State(old.id, outputs_of(changed, inputs, manager))
        patience = waiting.patience(wanted, seconds)
        return self._awaited(resource, place, changed, inputs, manager, patience, "updated")

    def read(self, resource: Resource, old: State) -> State | None:
        """The object as it is, and the inputs that would make it so; None if there is none.

        Raises:
            InitFailed: it is there, and is not ready.
        """
        inputs = old.inputs
        api_version, kind = api_version_and_kind(resource.type)
        namespace, _, name = old.id.rpartition("/")
        try:
            place = self._cluster.api.place(api_version, kind, namespace, name)
        except UnknownKind:
            return None
        live = self._cluster.api.get(place)
        if live is None:
            return None
        manager = manager_of(resource.urn, old.outputs)
        if not inputs.value:
            imported = importable(live)
            known = Properties(imported, contents_of_secret(imported))
            return State(place.id, outputs_of(live, known, manager), known)
        found = changes.as_found(
            inputs.value, live, comparison.drift(self._cluster, place, inputs.value, live, manager)
        )
        known = Properties(found, secrets_of(inputs, found))
        state = State(place.id, outputs_of(live, known, manager), known)
        verdict = self._cluster.patience.verdict(live)
        if waiting.is_awaited(inputs.value) and not verdict.ready:
            raise InitFailed(state, f"{kind} {place.id} is there", [f"not ready: {verdict.why}"])
        return state

    def delete(self, resource: Resource, old: State, *, seconds: float) -> None:
        """Delete the object and wait until it is gone; one that is gone already is fine.

        Raises:
            NotReady: something holds it.
        """
        outputs = {**old.outputs.value, **old.inputs.value}
        api_version, kind = api_version_and_kind(resource.type)
        namespace, _, name = old.id.rpartition("/")
        try:
            place = self._cluster.api.place(api_version, kind, namespace, name)
        except UnknownKind:
            return  # its CustomResourceDefinition is gone, and took it along
        live = self._cluster.api.get(place)
        annotation = waiting.annotations(outputs).get("pulumi.com/deletionPropagationPolicy", "foreground")
        if live is None or not self._cluster.api.delete(place, annotation.capitalize()):
            return
        if waiting.is_deletion_awaited(outputs):
            patience = waiting.patience(outputs, seconds)
            uid = live["metadata"]["uid"]
            self._cluster.patience.until_gone(place, uid, seconds=patience, tell=resource.tell)

    def _awaited(
        self,
        resource: Resource,
        place: Place,
        live: Object,
        inputs: Properties,
        manager: str,
        seconds: float,
        done: str,
    ) -> State:
        try:
            if waiting.is_awaited(inputs.value):
                live = self._cluster.patience.until_ready(place, live, seconds=seconds, tell=resource.tell)
        except NotReady as error:
            state = State(place.id, outputs_of(error.live, inputs, manager))
            raise InitFailed(state, f"{place.kind} {place.id} was {done}", error.reasons) from error
        return State(place.id, outputs_of(live, inputs, manager))
