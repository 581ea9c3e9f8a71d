"""One model server for the clients that others wrote, and what MLflow itself predicts for the same rows."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer, a_server, proved
from tests.support.saved_models import sklearn_numbers, sklearn_tensor, sklearn_words, tabular

MODELS = {"numbers": sklearn_numbers, "words": sklearn_words, "tensor": sklearn_tensor}
ROWS = 5


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save(root / name) for name, save in MODELS.items()}


@pytest.fixture(scope="session")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("server")
    proved(folders, folder)
    with a_server(folders, folder) as server:
        yield server


@pytest.fixture(scope="session")
def facts(server: ModelServer, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON file for the clients: addresses, rows by column, and MLflow's predictions for them, by model."""
    import mlflow

    found: dict[str, object] = {"http": f"127.0.0.1:{server.port}", "grpc": server.grpc, "rows": {}, "expected": {}}
    for name, folder in folders.items():
        frame, _ = tabular(words=name == "words", whole=name != "tensor")
        frame = frame.head(ROWS)
        model = mlflow.pyfunc.load_model(str(folder))
        predicted = model.predict(frame.to_numpy() if name == "tensor" else frame)
        found["rows"][name] = frame.to_dict("list")  # type: ignore[index]
        found["expected"][name] = predicted.tolist()  # type: ignore[index]
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(json.dumps(found))
    return path


@pytest.fixture(scope="session")
def run(facts: Path) -> Callable[[str], None]:
    """Runs a client in a process of its own: their packages register messages of the same names."""

    def script(name: str) -> None:
        client = Path(__file__).parent / "clients" / name
        done = subprocess.run([sys.executable, str(client), str(facts)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr}"

    return script
