"""Wait for facts instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    fact: Callable[[], T], *, seconds: float = 30, what: str = "it", but: tuple[type[Exception], ...] = ()
) -> T:
    """The fact's value as soon as it is true.

    Args:
        but: Exceptions of the fact that mean that it isn't true yet.

    Raises:
        AssertionError: it was not true in time; says which of these exceptions was the last try's, if one was.
    """
    deadline = time.monotonic() + seconds
    while True:
        instead = ""
        try:
            value = fact()
        except but as error:
            instead = f": {error!r}"
        else:
            if value:
                return value
        assert time.monotonic() < deadline, f"{what} was not true within {seconds:g} s{instead}"
        time.sleep(0.05)
