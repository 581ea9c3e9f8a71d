"""The HTTP server: uvicorn, and what it leaves open about connections that come and stay."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.serving.server.settings import Limits

_LOOK_SECONDS = 1.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with a limit on how long a request may take to arrive."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; one too many is turned away at once."""
        super().connection_made(transport)
        self.receiving_since: float | None = time.monotonic()
        if len(self.connections) > self.limits.connections:
            transport.abort()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.receiving_since = time.monotonic()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        super().on_message_complete()
        self.receiving_since = None

    def too_slow(self, now: float) -> bool:
        """Whether a request began to arrive, or a connection was made, too long ago."""
        since = self.receiving_since
        return since is not None and now - since > self.limits.receive_seconds

    def turn_away(self) -> None:
        """Close the connection of a client that is too slow, with a word about it where that still makes sense."""
        if self.cycle is None or not self.cycle.response_started:
            body = b'{"error":"the request did not arrive in time"}'
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
        self.transport.close()


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and looks after slow clients.

    Args:
        app: The ASGI application.
        limits: On connections and time.
        drain_seconds: How long requests in progress may take at the end.
    """

    def __init__(self, app: Any, limits: Limits, drain_seconds: float) -> None:
        protocol = type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=4096,
            timeout_keep_alive=int(limits.idle_seconds),
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
        )
        super().__init__(config)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server_state.connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has more than one server: signals are its own business."""
        yield

    async def guard(self) -> None:
        """Turn slow clients away, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GuardedProtocol) and connection.too_slow(now):
                    connection.turn_away()
