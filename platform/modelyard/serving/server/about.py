"""What the server says without predicting: health, metadata, OpenAPI."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import modelyard
from modelyard.serving.server import openapi
from modelyard.serving.server.errors import MethodNotAllowed, NotFound
from modelyard.serving.server.interface import TensorMetadata
from modelyard.serving.server.repository import Repository, Served

EXTENSIONS = ["binary_tensor_data"]
PATHS = "/v2/models/NAME/infer, /invocations, /models/NAME/invocations, /v2/health/ready, /openapi.json"
Said = tuple[int, Any]


class About:
    """Answers to GET.

    Args:
        models: Those there are.
    """

    def __init__(self, models: Repository) -> None:
        self._models = models

    def answer(self, method: str, raw_path: bytes) -> Said:
        """A status, and what is said: bytes, or something that becomes JSON.

        Args:
            method: Of the request.
            raw_path: Percent-encoded, without the query.

        Raises:
            RequestError: there is nothing at this path, or it isn't for this method.
        """
        parts = [unquote(part) for part in raw_path.decode("ascii").rstrip("/").split("/")[1:]]
        found = self._server(parts) or self._model(parts)
        if found is None:
            raise NotFound(f"there is nothing at {'/'.join(['', *parts])}; paths: {PATHS}")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{method} is not for this path: GET it", "GET")
        return found()

    def _server(self, parts: list[str]) -> Callable[[], Said] | None:
        ready = self._models.is_ready
        status = 200 if ready else 503
        everything: dict[tuple[str, ...], Callable[[], Said]] = {
            ("v2",): lambda: (200, {"name": "modelyard", "version": modelyard.__version__, "extensions": EXTENSIONS}),
            ("v2", "health", "live"): lambda: (200, {"live": True}),
            ("v2", "health", "ready"): lambda: (status, {"ready": ready}),
            ("ping",): lambda: (status, b"\n"),
            ("health",): lambda: (status, b"\n"),
            ("version",): lambda: (200, {"version": modelyard.__version__}),
            ("openapi.json",): lambda: (200, openapi.document(self._models)),
        }
        return everything.get(tuple(parts))

    def _model(self, parts: list[str]) -> Callable[[], Said] | None:
        if parts[:2] != ["v2", "models"] or len(parts) < 3:
            return None
        name, rest = parts[2], parts[3:]
        version = None
        if rest[:1] == ["versions"] and len(rest) >= 2:
            version, rest = rest[1], rest[2:]
        if rest == ["ready"]:
            return lambda: (200, {"name": self._models.find(name, version).name, "ready": True})
        if not rest:
            return lambda: (200, self._metadata(self._models.find(name, version)))
        return None

    def _metadata(self, served: Served) -> dict[str, Any]:
        return {
            "name": served.name,
            "versions": self._models.versions(served.name),
            "platform": served.platform,
            "inputs": _tensors(served.input_metadata),
            "outputs": _tensors(served.output_metadata),
            "parameters": {"version": served.version, **served.facts},
        }


def _tensors(every: Iterable[TensorMetadata]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
        | ({"parameters": one.parameters} if one.parameters else {})
        for one in every
    ]
