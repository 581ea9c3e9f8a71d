"""Progress on standard error: nothing for what takes under two seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 2.0


def say(line: str) -> None:
    """One line on standard error, whole even when several threads speak."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def doing(line: str) -> Iterator[None]:
    """Say what is being done once it has taken two seconds."""
    timer = threading.Timer(PATIENCE_SECONDS, say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def elapsed(since: float) -> str:
    """Time since a ``time.monotonic()``, for people.

    >>> elapsed(time.monotonic() - 252)
    '4 min 12 s'
    """
    minutes, seconds = divmod(round(time.monotonic() - since), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
