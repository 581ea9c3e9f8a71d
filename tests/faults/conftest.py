"""A platform of its own for what is broken here, so that no other test sees it."""

from collections.abc import Iterator

import pytest

from tests.support.local_platform import LocalPlatform, a_platform, succeeded


@pytest.fixture(scope="module")
def broken() -> Iterator[LocalPlatform]:
    """A platform that the tests of one file break and that must mend itself."""
    with a_platform() as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


@pytest.fixture
def fresh() -> Iterator[LocalPlatform]:
    """A platform that is not up yet."""
    with a_platform() as platform:
        yield platform
