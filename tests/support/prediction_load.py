"""Clients that ask for predictions all the time, and what they got."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import pandas as pd


def v2_request(features: pd.DataFrame) -> dict[str, Any]:
    """The rows as the body of an Open Inference Protocol request."""
    return {
        "parameters": {"content_type": "pd"},
        "inputs": [
            {
                "name": name,
                "shape": [len(features), 1],
                "datatype": "FP64" if pd.api.types.is_float_dtype(features[name]) else "BYTES",
                "parameters": {"content_type": "np" if pd.api.types.is_float_dtype(features[name]) else "str"},
                "data": features[name].tolist(),
            }
            for name in features
        ],
    }


@dataclass
class PredictionLoad:
    """A context in which `clients` keep asking for predictions, one request after the other each.

    Attributes:
        url: Where to.
        body: What to ask.
        open_client: How a client is made.
        versions: How often each version answered well.
        failures: What went wrong, in words.
    """

    url: str
    body: dict[str, Any]
    clients: int = 4
    open_client: Callable[[], httpx.Client] = lambda: httpx.Client(trust_env=False, timeout=30)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int, *, of: str | None = None, seconds: float = 60) -> None:
        """Go on until so many more requests were answered well.

        Args:
            of: By this version.
        """
        target, deadline = self._answers(of) + answers, time.monotonic() + seconds
        while self._answers(of) < target:
            assert time.monotonic() < deadline, f"{self.versions} after {seconds:g} s; failures: {self.failures[:3]}"
            time.sleep(0.02)

    def _answers(self, version: str | None) -> int:
        return self.versions.total() if version is None else self.versions[version]

    def meets(self, version: str, *, connections: int = 20, requests: int = 60) -> bool:
        """Whether a version answers on each of so many new connections, within so many requests.

        Whichever of several routers a connection leads to, that one sends requests to the version then.

        Raises:
            httpx.TransportError: a connection broke.
        """
        return all(self._meets(version, requests) for _ in range(connections))

    def _meets(self, version: str, requests: int) -> bool:
        with self.open_client() as client:
            answers = (client.post(self.url, json=self.body) for _ in range(requests))
            return any(answer.headers.get("x-modelyard-version") == version for answer in answers)

    def _ask(self) -> None:
        with self.open_client() as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self.url, json=self.body)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.is_success:
                    self.versions[answer.headers["x-modelyard-version"]] += 1
                else:
                    self.failures.append(f"{answer.status_code}: {answer.text[:200]}")
                    time.sleep(0.05)
