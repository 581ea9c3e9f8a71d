"""TLS in front of a PostgreSQL server that has none: answers the protocol's request for it, and hands the rest on."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.node.certificates import Authority

SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
SASL = bytes.fromhex("0000000a")


@contextmanager
def tls_front(server_port: int, folder: Path, *, host: str, binds: bool = False) -> Iterator[int]:
    """The port where it listens, on loopback; the authority's certificate is in `<folder>/authority.crt`.

    Args:
        host: That the certificate is for.
        binds: Offer to bind logins to TLS, as servers with TLS of their own do; who takes that up can't get in here.
    """
    certificate = Authority(folder, "authority").issue("front", common_name=host, hosts=[host])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(lambda one, other: _serve(one, other, server_port, context, binds), "127.0.0.1", 0)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, context: ssl.SSLContext, binds: bool
) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        assert await reader.readexactly(8) == SSL_REQUEST, "the client didn't ask for TLS"
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(context)
        behind, to_behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, to_behind), _answers(behind, writer, binds))


async def _answers(behind: asyncio.StreamReader, writer: asyncio.StreamWriter, binds: bool) -> None:
    if binds:
        head = await behind.readexactly(9)
        assert (head[:1], head[5:]) == (b"R", SASL)
        names = await behind.readexactly(int.from_bytes(head[1:5]) - 8)
        names = b"SCRAM-SHA-256-PLUS\0" + names
        writer.write(b"R" + (len(names) + 8).to_bytes(4) + SASL + names)
    await _copy(behind, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()
