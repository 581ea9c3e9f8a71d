"""TLS for a PostgreSQL client that is built without it, as the wheel's pg_dump is: a socket here, TLS to the server."""

import asyncio
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelyard.tracking.settings import DatabaseSettings

# https://www.postgresql.org/docs/current/protocol-message-formats.html
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
SASL = bytes.fromhex("0000000a")  # in a request to authenticate oneself


@contextmanager
def tunnel(database: DatabaseSettings) -> Iterator[Path]:
    """The folder of a Unix socket, as `host` of a client; what it says reaches the server by TLS.

    The server is checked as `sslmode` says. Where that fails the client's connection is closed, and stderr says why.

    Args:
        database: Whose server; its port is the socket's too.
    """
    context = _context(database)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        path = Path(folder, f".s.PGSQL.{database.port}")
        server = loop.run_until_complete(
            asyncio.start_unix_server(lambda one, other: _serve(one, other, database, context), path)
        )
        thread.start()
        try:
            yield Path(folder)
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


def _context(database: DatabaseSettings) -> ssl.SSLContext:
    """As libpq understands `sslmode`: `require` checks the certificate too if there is something to check it with."""
    context = ssl.create_default_context(cafile=database.sslrootcert)
    context.check_hostname = database.sslmode == "verify-full"
    if database.sslmode == "require" and database.sslrootcert is None:
        context.verify_mode = ssl.CERT_NONE
    return context


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, database: DatabaseSettings, context: ssl.SSLContext
) -> None:
    try:
        from_server, to_server = await asyncio.open_connection(database.host, database.port)
        to_server.write(SSL_REQUEST)
        if await from_server.readexactly(1) != b"S":
            raise ConnectionError("the server has no TLS")
        await to_server.start_tls(context, server_hostname=database.host)
    except (OSError, asyncio.IncompleteReadError) as error:
        print(f"no TLS to {database.host}:{database.port}: {error}", file=sys.stderr)
        writer.close()
        return
    with suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
        await asyncio.gather(_copy(reader, to_server), _answers(from_server, writer))


async def _answers(from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server says; the client must not hear that it could bind its login to TLS, of which it knows nothing."""
    head = await from_server.readexactly(5)
    body = await from_server.readexactly(int.from_bytes(head[1:]) - 4)
    if head[:1] == b"R" and body[:4] == SASL:
        known = [name for name in body[4:].split(b"\0") if name and not name.endswith(b"-PLUS")]
        body = SASL + b"".join(name + b"\0" for name in known) + b"\0"
    writer.write(head[:1] + (len(body) + 4).to_bytes(4) + body)
    await _copy(from_server, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
