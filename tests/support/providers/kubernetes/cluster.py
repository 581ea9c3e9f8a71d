"""One API server as the provider is configured to use it."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.providers.kubernetes import ownership, waiting
from tests.support.providers.kubernetes.api import ApiClient, Object, Place
from tests.support.providers.kubernetes.errors import Refused, UnknownKind
from tests.support.providers.kubernetes.polling import Patience
from tests.support.providers.kubernetes.state import Options

_SETTLES = 10.0  # seconds until what was just made (a CRD, a namespace) is known everywhere in the API server

T = TypeVar("T")


class Cluster:
    """Places and applies objects.

    Args:
        client: Gives the API server; called only when it is needed.
        cancelled: Ends all waiting.
    """

    def __init__(self, client: Callable[[], ApiClient], options: Options, cancelled: threading.Event) -> None:
        self.options = options
        self._client = client
        self._cancelled = cancelled

    @property
    def api(self) -> ApiClient:
        return self._client()

    @property
    def patience(self) -> Patience:
        return Patience(self.api, self._cancelled)

    def place(self, wanted: Object) -> Place:
        """Where a program's object belongs.

        Raises:
            UnknownKind: the API server has no such kind.
        """
        metadata = wanted["metadata"]
        namespace = metadata.get("namespace") or self.options.namespace
        return self.api.place(wanted["apiVersion"], wanted["kind"], namespace, metadata["name"])

    def apply(
        self, place: Place, wanted: Object, manager: str, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Apply an object, by force where the annotation or the configuration wants it; as `ownership.apply`."""
        force = force or self.forces(wanted)
        return ownership.apply(self.api, place, wanted, manager, dry_run=dry_run, force=force)

    def forces(self, wanted: Object) -> bool:
        return self.options.patch_force or waiting.annotations(wanted).get("pulumi.com/patchForce") == "true"

    def settled(self, ask: Callable[[], T]) -> T:
        """The answer, once the kind and the namespace it needs are known to the API server."""
        end = time.monotonic() + _SETTLES
        while True:
            try:
                return ask()
            except (UnknownKind, Refused) as error:
                is_missing = isinstance(error, UnknownKind) or error.code == 404
                if not is_missing or time.monotonic() > end or self._cancelled.wait(0.3):
                    raise
