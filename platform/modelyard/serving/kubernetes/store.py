"""The agent's memory as a ConfigMap."""

import logging
import time

from modelyard.kube.api import Api, Conflict, ConnectionLost, Document
from modelyard.serving.kubernetes.documents import owned
from modelyard.serving.saved import Saved

log = logging.getLogger(__name__)
KEY = "state.json"
LOOK_SECONDS = 5.0  # between two looks whether it is still there: it isn't watched
LARGEST = 900_000  # bytes; a ConfigMap holds a little more


class SavedObject:
    """A memory that only one agent at a time writes.

    Args:
        api: Where.
        name: Of the ConfigMap.
        labels: That it gets.
        owner: What it goes with.
    """

    def __init__(self, api: Api, name: str, labels: dict[str, str], owner: Document) -> None:
        self._api, self._name, self._labels, self._owner = api, name, labels, owner
        self._version: str | None = None
        self._looked_at = 0.0

    def read(self) -> Saved:
        found = self._api.get("ConfigMap", self._name)
        self._version = found["metadata"]["resourceVersion"] if found else None
        return Saved.parse(found.get("data", {}).get(KEY) if found else None, f"ConfigMap {self._name}")

    def write(self, saved: Saved) -> None:
        """Replace what was read or written last; if somebody has deleted it, make it anew.

        Raises:
            Conflict: another agent has written since: this one isn't the one to act any more.
        """
        text = saved.model_dump_json()
        while len(text.encode()) > LARGEST and saved.unwritten:
            log.error("the history that the database doesn't have is too long: its older half is forgotten")
            saved = saved.model_copy(update={"unwritten": saved.unwritten[(len(saved.unwritten) + 1) // 2 :]})
            text = saved.model_dump_json()
        try:
            self._write(text)
        except Conflict:
            if self._version is None or self._api.get("ConfigMap", self._name) is not None:
                raise
            self._version = None
            self._write(text)

    def is_lost(self) -> bool:
        """Whether somebody has deleted it, as of a look every few seconds; while the API is away nobody knows."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        try:
            lost = self._api.get("ConfigMap", self._name) is None
        except ConnectionLost:
            return False
        if lost:
            log.warning("the ConfigMap %s is gone: writing it anew", self._name)
        return lost

    def _write(self, text: str) -> None:
        metadata: Document = {"name": self._name, "namespace": self._api.namespace, "labels": self._labels}
        if self._version:
            metadata["resourceVersion"] = self._version
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}
        self._version = self._api.write(owned(document, self._owner))["metadata"]["resourceVersion"]
