import asyncio
import json

import pytest

from modelyard.tracking import app as apps

INFO = {"store_type": "SqlStore", "multipart_uploads_enabled": True, "multipart_downloads_enabled": True}


def answering(status: int, document: object) -> apps.Application:
    async def app(scope: apps.Message, receive: apps.Receive, send: apps.Send) -> None:
        body = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})

    return app


def asked(app: apps.Application, path: str) -> tuple[apps.Message, bytes]:
    sent: list[apps.Message] = []

    async def send(message: apps.Message) -> None:
        sent.append(message)

    async def receive() -> apps.Message:
        return {"type": "http.request"}

    asyncio.run(app({"type": "http", "path": path}, receive, send))
    return sent[0], b"".join(message["body"] for message in sent[1:])


def test_clients_are_told_to_fetch_artifacts_from_the_server() -> None:
    start, body = asked(apps.proxying(answering(200, INFO)), "/api/3.0/mlflow/server-info")
    assert json.loads(body) == {
        "store_type": "SqlStore",
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
    }
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(("status", "path"), [(200, "/api/2.0/mlflow/runs/get"), (401, "/api/3.0/mlflow/server-info")])
def test_everything_else_is_left_as_it_is(status: int, path: str) -> None:
    start, body = asked(apps.proxying(answering(status, INFO)), path)
    assert start["status"] == status
    assert json.loads(body) == INFO
