"""Downloads with little patience for hosts that don't answer: a machine without a way out must not wait for it."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from toolbox import commands
from toolbox.errors import Unavailable

ANSWER_SECONDS = 6.0  # from looking the name up to the first bytes, redirects included
STALL_SECONDS = 30.0

_unreachable: dict[str, str] = {}
_asking: dict[str, threading.Lock] = {}


def text(address: str) -> str:
    """A small text file at a URL or path."""
    with _open(address) as source:
        return source.read(1_000_000).decode(errors="replace")


def to_file(address: str, file: Path) -> None:
    """Save what is at a URL or path."""
    try:
        with _open(address) as source, file.open("wb") as target:
            while chunk := source.read(1 << 20):
                commands.checkpoint()
                target.write(chunk)
            promised = getattr(source, "headers", {}).get("Content-Length")
            if promised is not None and int(promised) != target.tell():
                raise OSError(f"after {target.tell()} of {promised} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{address} broke off ({error})") from error


def _open(address: str) -> IO[bytes]:
    """Open a URL or a path; a host that didn't answer once isn't asked again in this run."""
    if "://" not in address:
        try:
            return Path(address).expanduser().open("rb")
        except OSError as error:
            raise Unavailable(f"{address}: {error.strerror}") from error
    host = urllib.parse.urlsplit(address).netloc
    with _asking.setdefault(host, threading.Lock()):
        if host in _unreachable:
            raise Unavailable(_unreachable[host])
        try:
            return _answer(address)
        except urllib.error.HTTPError as error:
            raise Unavailable(f"{address} answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            _unreachable[host] = f"{host} is not reachable ({getattr(error, 'reason', error)})"
            raise Unavailable(_unreachable[host]) from error


def _answer(address: str) -> IO[bytes]:
    """urlopen with a deadline over all of it: looking a name up has no timeout of its own."""
    outcome: list[IO[bytes] | Exception] = []

    def ask() -> None:
        try:
            outcome.append(urllib.request.urlopen(address, timeout=STALL_SECONDS))  # noqa: S310 - tools.toml or the user says where
        except Exception as error:  # handed to the caller's thread
            outcome.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if not outcome:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
