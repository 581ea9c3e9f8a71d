"""Leaves out tests that this machine can't run, and says which and why, in a line each."""

from collections.abc import Callable

import pytest


def leave_out(
    config: pytest.Config, items: list[pytest.Item], which: Callable[[pytest.Item], bool], what: str, reason: str | None
) -> None:
    """To be called by `pytest_collection_modifyitems`.

    Args:
        config: As pytest gives it.
        items: As pytest gives them; some are taken out.
        which: Those that can't run.
        what: They are about, in words.
        reason: Why they can't; None: they can.
    """
    here = [item for item in items if which(item)] if reason else []
    if here:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]
        print(f"\n{len(here)} tests of {what} are left out on this machine: {reason}")
