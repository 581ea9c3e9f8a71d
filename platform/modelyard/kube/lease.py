"""Who of several replicas acts: the one that holds a Lease.

As in https://pkg.go.dev/k8s.io/client-go/tools/leaderelection: clocks of different machines are never compared; a Lease
has run out when it wasn't renewed for as long as it says, by one's own clock.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from modelyard.kube.api import Api, Conflict, ConnectionLost, Document

log = logging.getLogger(__name__)


class Lease:
    """A Lease, as one who wants to hold it.

    Args:
        api: Where it is.
        name: Its name.
        holder: Who wants it; nobody else has that name.
        seconds: How long others wait, after it was last renewed, before they take it.
        renew_seconds: Between two tries to get or renew it.
        wake: Called when it was got or lost.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        holder: str,
        *,
        seconds: int = 15,
        renew_seconds: float = 2,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._api, self._name, self._holder = api, name, holder
        self._seconds, self._renew_seconds, self._wake = seconds, renew_seconds, wake
        self._held_until = 0.0
        self._seen: tuple[tuple[Any, ...], float] | None = None  # what it said, and since when
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_held(self) -> bool:
        """Whether to act: nobody else does for now. Ends well before others may think so."""
        return time.monotonic() < self._held_until

    def stop(self) -> None:
        """Give it back, so that the next one need not wait."""
        self._stop.set()
        self._thread.join(self._renew_seconds + 10)
        if self.is_held:
            self._held_until = 0.0
            try:
                found = self._api.get("Lease", self._name)
                if found and found["spec"].get("holderIdentity") == self._holder:
                    self._api.write(self._document(found, holder=""))
            except Exception as error:  # whatever it was, the next one takes it a little later
                log.warning("the lease %s runs out by itself: %s", self._name, error)

    def try_to_hold(self) -> None:
        """Take it if it is free, renew it if it is ours; one attempt."""
        began = time.monotonic()
        found = self._api.get("Lease", self._name)
        if found is not None and not self._is_ours_to_write(found, began):
            self._held_until = 0.0
            return
        self._api.write(self._document(found, holder=self._holder))
        # A third is left to those whose clocks run slower, and to what was begun when this ends.
        self._held_until = began + self._seconds * 2 / 3

    def _is_ours_to_write(self, found: Document, now: float) -> bool:
        spec = found["spec"]
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if self._seen is None or self._seen[0] != record:
            self._seen = record, now
        if not record[0] or record[0] == self._holder:
            return True
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._seconds)

    def _document(self, found: Document | None, *, holder: str) -> Document:
        before: Document = found["spec"] if found else {}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        taken = before.get("holderIdentity") != holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._seconds if holder else 1,
            "acquireTime": now if taken else before.get("acquireTime"),
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (taken and bool(holder)),
        }
        metadata = {"name": self._name, "namespace": self._api.namespace}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _run(self) -> None:
        before = failing = False
        while not self._stop.is_set():
            try:
                self.try_to_hold()
                failing = False
            except Conflict:
                self._held_until = 0.0
            except ConnectionLost as error:
                if not before or not self.is_held:
                    log.debug("the lease %s can't be renewed: %s", self._name, error)
            except Exception:
                # An agent whose thread ends here would never take over, and nobody would notice.
                if not failing:
                    log.exception("the lease %s can't be got or renewed; trying again and again", self._name)
                failing = True
            if self.is_held != before:
                before = self.is_held
                log.info("%s the lease %s", "holding" if before else "without", self._name)
                self._wake()
            self._stop.wait(self._renew_seconds)
