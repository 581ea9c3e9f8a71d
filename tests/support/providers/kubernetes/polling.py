"""Waits for objects by looking again: until they are ready, until they are gone; and finds out why not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from tests.support.providers.kubernetes import troubles, waiting
from tests.support.providers.kubernetes.api import ApiClient, Object, Place
from tests.support.providers.kubernetes.errors import Cancelled, NotReady, ProviderError
from tests.support.providers.kubernetes.values import at

Tell = Callable[[str], None]


class Patience:
    """Waits on one API server, until ``cancelled`` is set."""

    def __init__(self, api: ApiClient, cancelled: threading.Event) -> None:
        self._api = api
        self._cancelled = cancelled

    def until_ready(self, place: Place, live: Object, *, seconds: float, tell: Tell) -> Object:
        """Wait until an object is ready.

        Args:
            live: As it was last seen.
            seconds: For how long.
            tell: Hears what is being waited for.

        Raises:
            NotReady: it isn't in time, never will be, or is gone.
        """
        said = ""
        for is_last in self._looks(seconds):
            found = self._api.get(place)
            if found is None:
                raise NotReady(live, ["not there any more: somebody deleted it meanwhile"])
            live = found
            verdict = self.verdict(live)
            if verdict.ready:
                return live
            if verdict.failed or is_last or self._cancelled.is_set():
                start = "not ready and never will be" if verdict.failed else f"not ready after {seconds:g} s"
                start = "not ready, and the wait was cancelled" if self._cancelled.is_set() else start
                raise NotReady(live, [f"{start}: {verdict.why}", *self._troubles(live)])
            if verdict.why != said:
                said = verdict.why
                tell(said)
        raise AssertionError("the last look decides")

    def until_gone(self, place: Place, uid: str, *, seconds: float, tell: Tell) -> None:
        """Wait until an object is gone, or another has its name.

        Raises:
            NotReady: it is still there.
            Cancelled: it is still there, and the engine would not wait longer.
        """
        slow = time.monotonic() + 2
        for is_last in self._looks(seconds):
            live = self._api.get(place)
            if live is None or at(live, ("metadata", "uid")) != uid:
                return
            why = troubles.of_deletion(live)
            if self._cancelled.is_set():
                raise Cancelled(f"cancelled before {place.kind} {place.id} was gone")
            if is_last:
                raise NotReady(live, [f"{place.kind} {place.id} is not gone after {seconds:g} s", *why])
            if why and time.monotonic() > slow:
                tell(why[0])
        raise AssertionError("the last look decides")

    def verdict(self, live: Object) -> waiting.Verdict:
        """Whether an object is ready now."""
        return waiting.verdict(live, self._around(live))

    def _looks(self, seconds: float) -> Iterator[bool]:
        """One item a look, true for the last: five a second at first, one a second later."""
        end, pause = time.monotonic() + seconds, 0.2
        while True:
            is_last = time.monotonic() >= end
            yield is_last
            self._cancelled.wait(min(pause, max(end - time.monotonic(), 0)))
            pause = min(pause * 1.3, 1)

    def _around(self, live: Object) -> waiting.Around:
        namespace, name = at(live, ("metadata", "namespace")) or "", at(live, ("metadata", "name"))
        if live.get("apiVersion") != "v1":
            return waiting.Around()
        if live.get("kind") == "Service" and at(live, ("spec", "selector")):
            selector = f"kubernetes.io/service-name={name}"
            slices = self._api.list("discovery.k8s.io/v1", "EndpointSlice", namespace, labelSelector=selector)
            return waiting.Around(endpoint_slices=tuple(slices))
        if live.get("kind") == "PersistentVolumeClaim" and (storage_class := at(live, ("spec", "storageClassName"))):
            place = self._api.place("storage.k8s.io/v1", "StorageClass", "", storage_class)
            return waiting.Around(storage_class=self._api.get(place))
        return waiting.Around()

    def _troubles(self, live: Object) -> list[str]:
        """What is wrong with an object and its pods, as far as it can be found out."""
        found: list[str] = troubles.of_replicas(live)
        # Reasons are nice to have: whoever may not read pods still hears that the time ran out.
        with suppress(ProviderError):
            pods = self._pods(live)
            for pod in pods:
                found += troubles.of_pod(pod)
            if live.get("kind") == "Job":
                found += self._last_lines(pods)
        with suppress(ProviderError):
            found += troubles.of_events(self._events(live))
        return list(dict.fromkeys(found))

    def _pods(self, live: Object) -> list[Object]:
        if live.get("kind") == "Pod":
            return [live]
        selector = at(live, ("spec", "selector")) or {}
        labels: Any = selector.get("matchLabels", {}) if live.get("kind") != "Service" else selector
        if not isinstance(labels, dict) or not labels:
            return []
        text = ",".join(f"{key}={value}" for key, value in labels.items())
        return self._api.list("v1", "Pod", at(live, ("metadata", "namespace")), labelSelector=text)

    def _last_lines(self, pods: list[Object]) -> list[str]:
        """What the containers that ended badly said last."""
        lines: list[str] = []
        for pod in sorted(pods, key=lambda one: at(one, ("metadata", "creationTimestamp")) or "")[-1:]:
            namespace, name = at(pod, ("metadata", "namespace")), at(pod, ("metadata", "name"))
            for container in troubles.failed_containers(pod):
                text = self._api.log(namespace, name, container, 10).strip()
                lines += [f"the last lines of container {container} of pod {name}:\n{text}"] if text else []
        return lines

    def _events(self, live: Object) -> list[Object]:
        uid, namespace = at(live, ("metadata", "uid")), at(live, ("metadata", "namespace")) or "default"
        return self._api.list("v1", "Event", namespace, fieldSelector=f"involvedObject.uid={uid},type=Warning")
