"""MLflow's application where people log in: closed by `modelyard.tracking.login`.

MLflow tells clients that they may fetch artifacts from the store directly, by signed addresses. Where only the
platform's pods reach the store, a client that believes this tries for minutes before it asks the server: such a server
says that it proxies everything.
"""

import json
import os

from modelyard.tracking.asgi import Application, Message, Receive, Send
from modelyard.tracking.environment import DIRECT_VARIABLE

CAPABILITIES = ("multipart_uploads_enabled", "multipart_downloads_enabled")


def create() -> Application:
    """MLflow's application, closed, for uvicorn's `--factory`."""
    from mlflow.server.auth import create_app, store

    from modelyard.tracking import own_users
    from modelyard.tracking.login import guarded

    mlflow = create_app()
    own_users.mend(store)  # MLflow makes the administrator, and leaves alone one that is there
    app = guarded(mlflow)
    return app if os.environ.get(DIRECT_VARIABLE) == "true" else proxying(app)


def proxying(app: Application) -> Application:
    """The application, but its `server-info` says that artifacts only come through it."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/mlflow/server-info"):
            await app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await _send_edited(start, body, send)

        await app(scope, receive, collect)

    return wrapped


async def _send_edited(start: Message, body: bytes, send: Send) -> None:
    if start["status"] == 200:
        document = json.loads(body)
        body = json.dumps(document | {name: False for name in CAPABILITIES if name in document}).encode()
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        start = {**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
