"""Models that MLflow saved from PyTorch, and a server that serves them."""

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from tests.support.model_server import ModelServer, a_server, proved

ROWS = np.random.default_rng(7).normal(size=(6, 4)).astype(np.float32)
FRAME = pd.DataFrame(ROWS, columns=["x0", "x1", "x2", "x3"])
PICKLED = ("pickled", "scripted", "columns")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by name: one network, saved in every way that MLflow has."""
    import mlflow
    import torch

    torch.manual_seed(1)
    layers = [torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 3), torch.nn.Softmax(dim=1)]
    network = torch.nn.Sequential(*layers).eval()
    root = tmp_path_factory.mktemp("models")
    for name, model, form, example in (
        ("exported", network, "pt2", ROWS),
        ("pickled", network, "pickle", ROWS),
        ("scripted", torch.jit.script(network), "pickle", ROWS),
        ("columns", network, "pickle", FRAME),
    ):
        mlflow.pytorch.save_model(
            model, str(root / name), serialization_format=form, input_example=example, pip_requirements=[]
        )
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def pyfunc(models: dict[str, Path]) -> Callable[[str], object]:
    """A model as MLflow loads it."""
    import mlflow

    def load(name: str) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
            return mlflow.pyfunc.load_model(str(models[name]))

    return load


@pytest.fixture(scope="session")
def client(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Asks a model server that has all of them."""
    folder = tmp_path_factory.mktemp("server")
    proved(models, folder, PICKLED)
    with a_server(models, folder, allow_pickle=PICKLED) as server, _asking(server) as client:
        yield client


def _asking(server: ModelServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.mark, "w"))


@pytest.fixture
def armed(models: dict[str, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The exported model with a pickle among its records, and the file that shows that it was loaded."""
    import torch

    folder, mark = shutil.copytree(models["exported"], tmp_path / "armed"), tmp_path / "exploded"
    hidden = io.BytesIO()
    torch.save(Bomb(mark), hidden)
    file = folder / "data" / "model.pt2"
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(f"{file}.new", "w") as changed:
        for entry in whole.infolist():
            is_examples = entry.filename.endswith("sample_inputs/model.pt")
            changed.writestr(entry.filename, hidden.getvalue() if is_examples else whole.read(entry))
    Path(f"{file}.new").replace(file)
    return folder, mark
