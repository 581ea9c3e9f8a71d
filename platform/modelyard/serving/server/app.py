"""The HTTP application, as ASGI and without a framework in between: which path is what, and how answers are sent."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from modelyard.serving.server.about import About
from modelyard.serving.server.errors import MethodNotAllowed, RequestError
from modelyard.serving.server.predictions import INFER, INVOCATIONS, Headers, Predictions, Recorder
from modelyard.serving.server.repository import Repository
from modelyard.serving.server.settings import Limits

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """Answers HTTP requests about models.

    Args:
        models: Those there are.
        limits: How large requests may be.
        recorder: Told about each answered question, for the payload log; None: nobody is.
    """

    def __init__(self, models: Repository, limits: Limits, recorder: Recorder | None = None) -> None:
        self._predictions = Predictions(models, limits, recorder)
        self._about = About(models)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.endswith("/infer"):
            answer = await self._predictions.answer(INFER, scope, receive)
        elif path.endswith("/invocations"):
            answer = await self._predictions.answer(INVOCATIONS, scope, receive)
        else:
            answer = self._told(scope)
        if answer is None:
            return  # the client has gone
        status, headers, body = answer
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _told(self, scope: Scope) -> tuple[int, Headers, bytes]:
        headers: Headers = [(b"content-type", b"application/json")]
        try:
            status, said = self._about.answer(scope["method"], scope["raw_path"])
        except RequestError as error:
            status, said = error.status, {"error": str(error)}
            if isinstance(error, MethodNotAllowed):
                headers.append((b"allow", error.allowed.encode()))
            if error.retry_after is not None:
                headers.append((b"retry-after", b"%d" % error.retry_after))
        return status, headers, said if isinstance(said, bytes) else orjson.dumps(said)
