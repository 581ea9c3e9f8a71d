"""Wait for facts instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(fact: Callable[[], T], *, seconds: float = 30, what: str = "it") -> T:
    """The fact's value as soon as it is true.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} was not true within {seconds:g} s"
        time.sleep(0.05)
