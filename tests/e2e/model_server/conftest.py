"""One model server for the run, with a model of every flavour and some odd ones."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import odd_models
from tests.support.model_server import ModelServer, a_server, proved
from tests.support.saved_models import SAFE, sklearn_pickle

ODD = ("moody", "slow", "short", "counting", "batch_mean")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by name."""
    root = tmp_path_factory.mktemp("models")
    made = {name: save(root / name) for name, save in SAFE.items()}
    made |= {name: odd_models.save(root / name, name) for name in ODD}
    return made | {"pickled": sklearn_pickle(root / "pickled")}


@pytest.fixture(scope="session")
def server(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder, allowed = tmp_path_factory.mktemp("server"), [*ODD, "pickled"]
    proved(models, folder, allowed)
    with a_server(models, folder, "--max-request-mib", "4", allow_pickle=allowed) as server:
        yield server


@pytest.fixture
def client(server: ModelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
