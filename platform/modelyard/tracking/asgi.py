"""The few words of ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html) that are spoken in front of MLflow."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


async def answer(send: Send, status: int, text: str, headers: Headers = ()) -> None:
    """Answer with a text, or with JSON if it is an object."""
    content = b"application/json" if text.startswith("{") else b"text/plain; charset=utf-8"
    body = text.encode()
    own = [(b"content-type", content), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


async def body(receive: Receive, *, most: int) -> bytes:
    """What a request came with.

    Args:
        most: Bytes; a longer one is nothing that is expected here.

    Raises:
        ValueError: it is longer, or its client is gone.
    """
    read, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ValueError("the client is gone")
        read, more = read + message.get("body", b""), message.get("more_body", False)
        if len(read) > most:
            raise ValueError(f"at most {most} bytes are expected")
    return read
