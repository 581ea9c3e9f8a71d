"""The management port of several workers: one answer for all of them."""

import asyncio
import http.client
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SAMPLE = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (.*)$")
_SECONDS = 120.0
Answer = tuple[int, bytes]


class Together:
    """Passes each request on to every worker.

    Metrics get the label `worker`; readiness is that of all; a model that is loaded is loaded by one worker after the
    other, beginning with the first: if that one refuses it, nothing has changed.

    Args:
        ports: The workers' own management ports, on loopback.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = tuple(ports)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """One request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        kind = b"application/json"
        if scope["path"] == "/metrics":
            status, answer = 200, await self._metrics()
            kind = CONTENT_TYPE_PLAIN_0_0_4.encode()
        else:
            token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            status, answer = await self._each(scope["method"], scope["raw_path"].decode("ascii"), body, token)
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _each(self, method: str, path: str, body: bytes, token: str) -> Answer:
        answer: Answer = (503, b'{"error":"there is no worker"}')
        for port in self._ports:
            answer = await asyncio.to_thread(_ask, port, method, path, body, token)
            if answer[0] != 200:
                return answer
        return answer

    async def _metrics(self) -> bytes:
        answers = await asyncio.gather(*(asyncio.to_thread(_ask, port, "GET", "/metrics", b"") for port in self._ports))
        return merged([text if status == 200 else b"" for status, text in answers])


def merged(texts: Sequence[bytes]) -> bytes:
    """Metrics of several processes as those of one, each sample with the label `worker`.

    Args:
        texts: In Prometheus' text form, one per worker.

    >>> print(merged([b"# TYPE a counter\\na 1\\n", b"# TYPE a counter\\na 2\\n"]).decode(), end="")
    # TYPE a counter
    a{worker="0"} 1
    a{worker="1"} 2
    """
    families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    for worker, text in enumerate(texts):
        current: tuple[list[bytes], list[bytes]] = ([], [])
        fresh = False
        for line in text.splitlines():
            if line.startswith(b"# "):
                word, name = line.split(b" ", 3)[1:3]
                if word in (b"HELP", b"TYPE"):
                    fresh = name not in families or (fresh and current is families[name])
                    current = families.setdefault(name, ([], []))
                    if fresh:
                        current[0].append(line)
            elif match := _SAMPLE.match(line):
                labels = b",".join(filter(None, [match[3], b'worker="%d"' % worker]))
                current[1].append(b"%s{%s} %s" % (match[1], labels, match[4]))
    return b"".join(b"".join(line + b"\n" for line in heads + samples) for heads, samples in families.values())


def _ask(port: int, method: str, path: str, body: bytes, token: str = "") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request(method, path, body, {"Authorization": token} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 503, b'{"error":"a worker does not answer: %s"}' % type(error).__name__.encode()
    finally:
        connection.close()
