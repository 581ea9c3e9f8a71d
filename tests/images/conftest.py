"""Images built for real, by what tools/images.py does, and run as a restricted pod would run them."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from imaging import build
from tests.images.containers import Images, unpack
from tests.support.selection import leave_out
from toolbox import cache

NEEDED = ("buildah", "mmdebstrap", "runc", "registry")
BUILT = ("tracking-server", "model-server", "agent", "postgresql", "versitygw")  # prometheus compiles for minutes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    absent = [name for name in NEEDED if shutil.which(name) is None]
    reason = f"it needs {', '.join(absent)} on PATH" if absent else None if os.geteuid() == 0 else "it needs root here"
    leave_out(config, items, lambda item: item.nodeid.startswith("tests/images/"), "building images", reason)


@pytest.fixture(scope="session")
def archives():
    """The folder of the images' archives: in the cache, where the next run finds them."""
    folder = cache.root() / "images" / "archives"
    build.own(BUILT, archive=folder)
    return folder


@pytest.fixture(scope="session")
def unpacked(archives, tmp_path_factory):
    """Unpack an image, once."""
    known = {}

    def of(name: str) -> Images:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            known[name] = Images(unpack(archives / f"{name}.tar", folder), folder)
        return known[name]

    return of


@pytest.fixture
def image(unpacked) -> Iterator[Callable[[str], Images]]:
    """An image by name; what a test starts of it ends with the test."""
    used = []

    def of(name: str) -> Images:
        used.append(unpacked(name))
        return used[-1]

    yield of
    for images in used:
        while images.started:
            images.started.pop().remove()
