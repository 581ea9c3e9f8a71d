"""One platform for the whole run: `up` once, used by every test that does not need one of its own."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support import bike_model as bikes
from tests.support.local_platform import LocalPlatform, a_platform, succeeded


@pytest.fixture(scope="session")
def platform() -> Iterator[LocalPlatform]:
    with a_platform() as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


@pytest.fixture(scope="session")
def bike_example() -> ModuleType:
    return bikes.example()


@pytest.fixture(scope="session")
def bike_model(platform: LocalPlatform, bike_example: ModuleType) -> bikes.BikeModel:
    import mlflow

    assert platform.descriptor.tracking_server is not None
    mlflow.set_tracking_uri(platform.descriptor.tracking_server.url)
    return bikes.registered(bike_example)
