"""Has the cluster hold what documents say, without asking it to when it does."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelyard.kube.api import Api, Document

log = logging.getLogger(__name__)
AGAIN_SECONDS = 60.0  # what is not watched is put right by then
NEWS_SECONDS = 1.0  # how long news of what was just applied may be on its way


@dataclass(frozen=True)
class _Last:
    """What was applied: the document's digest, which state of the object came of it, and when."""

    digest: str = ""
    state: tuple[str, int] = ("", 0)
    at: float = 0.0


class Applied:
    """What was applied, and when.

    Args:
        api: Where to.
        check: Called before each write; raises Ended if this agent may not act any more.
    """

    def __init__(self, api: Api, check: Callable[[], None]) -> None:
        self._api, self._check = api, check
        self._last: dict[tuple[str, str], _Last] = {}

    def ensure(self, document: Document, found: Mapping[str, Document] | None = None) -> None:
        """Have an object be as the document says.

        Args:
            document: The object.
            found: Objects of its kind by name, where they are watched: what is gone or altered is put right at once.

        Raises:
            Ended: this agent may not act any more.
        """
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        kind, name = document["kind"], document["metadata"]["name"]
        last = self._last.get((kind, name), _Last())
        altered = found is not None and (name not in found or _state(found[name]) != last.state)
        if digest == last.digest and time.monotonic() - last.at < (NEWS_SECONDS if altered else AGAIN_SECONDS):
            return
        if digest != last.digest:
            log.info("applying %s %s", kind, name)
        self._check()
        there = self._api.apply(document)
        self._last[kind, name] = _Last(digest, _state(there), time.monotonic())

    def delete(self, kind: str, name: str) -> None:
        """Have an object gone.

        Raises:
            Ended: this agent may not act any more.
        """
        self._check()
        log.info("deleting %s %s", kind, name)
        self._api.delete(kind, name)
        self._last = {key: last for key, last in self._last.items() if key[1] != name}


def _state(found: Document) -> tuple[str, int]:
    """Which object it is, and how often what is wanted of it has changed."""
    metadata = found["metadata"]
    return metadata["uid"], metadata.get("generation", 0)
