"""What there is of one kind of object, kept up to date by watching."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from modelyard.kube.api import Api, ConnectionLost, Document

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0


class Watched:
    """The objects of one kind with some labels, as the API server last told of them.

    Args:
        api: Where.
        kind: Which.
        labels: That they have.
        wake: Called when one of them has changed.
    """

    def __init__(self, api: Api, kind: str, labels: Mapping[str, str], wake: Callable[[], None]) -> None:
        self._api, self._kind, self._labels, self._wake = api, kind, labels, wake
        self._lock = threading.Lock()
        self._found: dict[str, Document] | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def found(self) -> dict[str, Document] | None:
        """By name; None: not known yet. While the server is away, as it last was."""
        with self._lock:
            return None if self._found is None else dict(self._found)

    def _run(self) -> None:
        away, failure = False, ""
        while True:
            try:
                version = self._list()
                if away:
                    log.info("the Kubernetes API answers again (%s)", self._kind)
                away = False
                self._follow(version)
            except ConnectionLost as error:
                if not away:
                    log.warning("going on without news of %s: %s", self._kind, error or type(error).__name__)
                away = True
                time.sleep(RETRY_SECONDS)
            except Exception as error:
                # Without this thread the agent would go on for ever with what it has seen last.
                if repr(error) != failure:
                    log.exception("news of %s can't be read; listing them again and again", self._kind)
                failure = repr(error)
                time.sleep(RETRY_SECONDS)

    def _list(self) -> str:
        documents, version = self._api.list(self._kind, self._labels)
        with self._lock:
            self._found = {one["metadata"]["name"]: one for one in documents}
        self._wake()
        return version

    def _follow(self, version: str) -> None:
        for change, document in self._api.watch(self._kind, self._labels, version):
            name = document["metadata"]["name"]
            with self._lock:
                assert self._found is not None
                if change == "DELETED":
                    self._found.pop(name, None)
                else:
                    self._found[name] = document
            self._wake()
