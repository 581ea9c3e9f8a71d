"""Requests for a prediction: from the bytes that came to the bytes that go, and what is counted on the way."""

import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson

from modelyard.serving.answers import VERSION_HEADER
from modelyard.serving.server import invocations, v2_json
from modelyard.serving.server.about import PATHS
from modelyard.serving.server.errors import (
    MethodNotAllowed,
    ModelFailed,
    NotFound,
    NotReady,
    Overloaded,
    RequestError,
    TooLarge,
    UnsupportedMediaType,
    listed,
)
from modelyard.serving.server.interface import Decoded, Question
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.repository import Repository, Served
from modelyard.serving.server.settings import Limits

log = logging.getLogger(__name__)
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Recorder = Callable[[Served, Question, Output], None]

INFER, INVOCATIONS = "v2", "invocations"
_JSON = (b"content-type", b"application/json")
_VERSION = VERSION_HEADER.encode()
_BINARY = (b"content-type", b"application/octet-stream")
_MLFLOW_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}
_TRACEPARENT_LENGTH = 55
_LONGEST_ID = 256
_ids = itertools.count()
_ID_PREFIX = os.urandom(6).hex()


class _Gone(Exception):
    """The client has gone."""


@dataclass(slots=True)
class _Request:
    """What matters of a request's head."""

    client: object
    length: int | None = None
    content_type: str = ""
    json_length: bytes | None = None
    id: str = ""
    trace: bytes = b""
    held: int = 0


@dataclass(slots=True)
class _Answer:
    """A body, and what its head says besides."""

    body: bytes
    binary_head: int | None = None


class Predictions:
    """Answers requests for predictions.

    Args:
        models: Those there are.
        limits: How large requests may be, alone and together.
        recorder: Told about each answered question; None: nobody is.
    """

    def __init__(self, models: Repository, limits: Limits, recorder: Recorder | None) -> None:
        self._models = models
        self._limits = limits
        self._recorder = recorder
        self._held = 0

    async def answer(self, protocol: str, scope: dict[str, Any], receive: Receive) -> tuple[int, Headers, bytes] | None:
        """Status, headers and body; None: the client has gone.

        Args:
            protocol: `INFER` or `INVOCATIONS`.
            scope: As ASGI has it.
            receive: As ASGI has it.
        """
        request = _head(scope)
        served: Served | None = None
        began = time.perf_counter()
        headers: Headers = [_JSON]
        try:
            served = self._model(protocol, scope)
            body = await self._body(request, receive)
            began = time.perf_counter()
            ask = self._infer if protocol == INFER else self._invocations
            answer = await ask(served, request, body)
        except _Gone:
            return None
        except RequestError as error:
            status, said = error.status, self._refusal(protocol, error, served, headers)
        except Exception as error:
            log.exception("a request failed")
            failure = ModelFailed(f"this is a mistake of the server, not of the request: {type(error).__name__}")
            status, said = failure.status, self._refusal(protocol, failure, served, headers)
        else:
            status, said = 200, answer.body
            if answer.binary_head is not None:
                headers[0] = _BINARY
                headers.append((b"inference-header-content-length", b"%d" % answer.binary_head))
        finally:
            self._held -= request.held
        if request.id:
            headers.append((b"x-request-id", request.id.encode("latin-1")))
        exemplar = None
        if request.trace:
            headers.append((b"traceparent", request.trace))
            if len(request.trace) == _TRACEPARENT_LENGTH:
                exemplar = {"trace_id": request.trace[3:35].decode("ascii", "replace")}
        if served is not None:
            headers.append((_VERSION, served.version.encode("latin-1", "replace")))
            served.metrics.answered(protocol, status, time.perf_counter() - began, exemplar)
        return status, headers, said

    async def _infer(self, served: Served, request: _Request, body: bytes) -> _Answer:
        kind = request.content_type
        if kind and not kind.startswith(("application/json", "application/octet-stream")):
            raise UnsupportedMediaType(f"content type {kind!r} is not for V2: send application/json")
        length = request.json_length
        if length is not None and not length.isdigit():
            raise RequestError("Inference-Header-Content-Length has to be a whole number")
        asked = v2_json.read(body, None if length is None else int(length), served)
        name = asked.id or request.id
        output = await self._ask(served, request, asked.inputs, asked.parameters, name)
        return _Answer(*v2_json.write(asked, output, served))

    async def _invocations(self, served: Served, request: _Request, body: bytes) -> _Answer:
        kind, _, rest = request.content_type.partition(";")
        charset = rest.strip()
        if charset and charset not in ("charset=utf-8", 'charset="utf-8"'):
            raise UnsupportedMediaType(f"{charset!r}: only charset=utf-8 is understood")
        params: Any = {}
        if kind.strip() == "text/csv":
            try:
                inputs = served.inputs.from_csv(body.decode())
            except UnicodeDecodeError as error:
                raise RequestError(f"the body is not valid UTF-8: {error}") from error
        elif kind.strip() == "application/json":
            parsed = invocations.parse(body)
            params = parsed.pop("params", None)
            params = {} if params is None else params
            if type(params) is not dict:
                raise RequestError('"params" has to be an object')
            inputs = served.inputs.from_json(parsed)
        else:
            raise UnsupportedMediaType(f"content type {kind!r}: send application/json or text/csv")
        output = await self._ask(served, request, inputs, params, request.id)
        return _Answer(invocations.response(output))

    async def _ask(
        self, served: Served, request: _Request, inputs: Decoded, given: dict[str, Any], name: str
    ) -> Output:
        declared = served.signature.params
        params = invocations.params(declared, given) if declared else {}
        name = name or new_id()
        request.id = request.id or (name if _may_be_a_header(name) else "")
        question = Question(inputs, params, name, request.client)
        output = await served.batcher.submit(question)
        if self._recorder is not None:
            self._recorder(served, question, output)
        return output

    def _model(self, protocol: str, scope: dict[str, Any]) -> Served:
        """The model that a path means; `/invocations` means the only one there is."""
        parts = scope["raw_path"].decode("ascii").split("/")[1:]
        if "%" in scope["raw_path"].decode("ascii"):
            parts = [unquote(part) for part in parts]
        named = _named(protocol, parts)
        if named is None:
            raise NotFound(f"there is nothing at {scope['path']}; paths: {PATHS}")
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not for predictions: POST them", "POST")
        if self._models.is_leaving:
            raise NotReady("the server is shutting down", retry_after=1)
        name, version = named
        return self._models.find(self._only() if name is None else name, version)

    def _only(self) -> str:
        """The name of the only model there is."""
        names = self._models.names()
        if len(names) > 1:
            raise RequestError(f"say which model: POST to /models/NAME/invocations; there are {listed(names)}")
        return names[0] if names else ""

    async def _body(self, request: _Request, receive: Receive) -> bytes:
        """All that the client sends; of all bodies together only so much is held, by what has come, not by what may."""
        self._check(request.length or 0)
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            parts.append(message.get("body", b""))
            size = request.held + len(parts[-1])
            self._check(size)
            if self._held + len(parts[-1]) > self._limits.waiting_bytes:
                raise Overloaded("the requests in progress take all the room there is", retry_after=1)
            self._held += len(parts[-1])
            request.held = size
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self._limits.request_bytes:
            raise TooLarge(f"the body has {size} bytes or more; {self._limits.request_bytes} are allowed")

    def _refusal(self, protocol: str, error: RequestError, served: Served | None, headers: Headers) -> bytes:
        """The body that says why there is no prediction, in the form of the protocol."""
        if served is not None:
            served.metrics.failed(error.kind)
        else:
            self._models.unserved(error.kind)
        if error.retry_after is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after))
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", error.allowed.encode()))
        if isinstance(error, TooLarge):
            headers.append((b"connection", b"close"))
        if protocol == INFER:
            return orjson.dumps({"error": str(error)})
        return orjson.dumps({"error_code": _MLFLOW_CODES.get(error.status, "BAD_REQUEST"), "message": str(error)})


def new_id() -> str:
    """An id for a request that came without one: unique over all processes, and cheap."""
    return f"{_ID_PREFIX}-{next(_ids):x}"


def _may_be_a_header(name: str) -> bool:
    return len(name) <= _LONGEST_ID and name.isascii() and name.isprintable()


def _head(scope: dict[str, Any]) -> _Request:
    request = _Request(scope["client"])
    for name, value in scope["headers"]:
        if name == b"content-length":
            request.length = int(value)
        elif name == b"content-type":
            request.content_type = value.decode("latin-1").lower()
        elif name == b"x-request-id":
            request.id = value.decode("latin-1")
        elif name == b"traceparent":
            request.trace = value
        elif name == b"inference-header-content-length":
            request.json_length = value
    return request


def _named(protocol: str, parts: list[str]) -> tuple[str | None, str | None] | None:
    """The model and version in a path, each None if it has none; None: the path is nothing."""
    if protocol == INFER and parts[:2] == ["v2", "models"]:
        if len(parts) == 4:
            return parts[2], None
        if len(parts) == 6 and parts[3] == "versions":
            return parts[2], parts[4]
    if protocol == INVOCATIONS and len(parts) == 3 and parts[0] == "models":
        return parts[1], None
    return (None, None) if protocol == INVOCATIONS and len(parts) == 1 else None
