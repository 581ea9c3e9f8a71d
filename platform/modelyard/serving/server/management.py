"""Metrics and the model repository, on a port of their own: for the platform, not for clients.

The repository's form: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from modelyard.serving.server.errors import Forbidden, ModelRefused, NotFound, RequestError
from modelyard.serving.server.metrics import Metrics
from modelyard.serving.server.repository import Repository
from modelyard.serving.server.settings import TOKEN, ModelSettings, ServerSettings

_PATHS = "/metrics, /v2/health/live, /v2/health/ready, /v2/repository/index, /v2/repository/models/NAME/load|unload"


class Management:
    """Answers the platform's own requests.

    Args:
        models: Those there are.
        metrics: Of this process.
        settings: Whose token allows changes, and which models may be unpickled.
    """

    def __init__(self, models: Repository, metrics: Metrics, settings: ServerSettings) -> None:
        self._models = models
        self._metrics = metrics
        self._token = settings.token
        self._pickles = {one.name for one in settings.models if one.allow_pickle}

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """One request."""
        kind = b"application/json"
        try:
            status, body = 200, b"{}"
            path = [unquote(part) for part in scope["raw_path"].decode("ascii").strip("/").split("/")]
            if path == ["metrics"]:
                kind, body = CONTENT_TYPE_LATEST.encode(), self._metrics.text()
            elif path == ["v2", "health", "live"]:
                body = b'{"live":true}'
            elif path == ["v2", "health", "ready"]:
                status, body = (200, b'{"ready":true}') if self._models.is_ready else (503, b'{"ready":false}')
            elif path == ["v2", "repository", "index"]:
                body = orjson.dumps(self._index())
            elif path[:3] == ["v2", "repository", "models"] and len(path) == 5 and scope["method"] == "POST":
                self._check(scope)
                await self._change(path[3], path[4], await _json(receive))
            else:
                raise NotFound(f"there is nothing at {scope['path']}; paths: {_PATHS}")
        except RequestError as error:
            status, body = error.status, orjson.dumps({"error": str(error)})
        except ModelRefused as error:
            status, body = 400, orjson.dumps({"error": str(error)})
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check(self, scope: dict[str, Any]) -> None:
        """Whether somebody may change what is served: others on this machine may reach the port, too."""
        if self._token is None:
            raise Forbidden(f"nobody may change what is served here: set {TOKEN} when the server is started")
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise Forbidden(f"changing what is served takes the header `Authorization: Bearer …` with {TOKEN}")

    def _index(self) -> list[dict[str, str]]:
        return [
            {"name": one.name, "version": one.version, "state": "READY", "reason": ""} for one in self._models.every()
        ]

    async def _change(self, name: str, what: str, request: dict[str, Any]) -> None:
        parameters = request.get("parameters") or {}
        version = parameters.get("version")
        if what == "unload":
            self._models.unload(name, None if version is None else str(version))
        elif what == "load":
            await self._models.load(_settings(name, parameters, allow_pickle=name in self._pickles))
        else:
            raise NotFound(f"{what!r} is neither load nor unload")


def _settings(name: str, parameters: dict[str, Any], *, allow_pickle: bool) -> ModelSettings:
    folder, version = parameters.get("folder"), parameters.get("version")
    if not isinstance(folder, str) or not isinstance(version, str):
        raise RequestError('parameters need "folder" and "version", both strings')
    manifest = parameters.get("manifest")
    return ModelSettings(name, version, Path(folder), Path(manifest) if manifest else None, allow_pickle)


async def _json(receive: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        found = json.loads(body or b"{}")
    except ValueError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestError("the body has to be a JSON object")
    return found
