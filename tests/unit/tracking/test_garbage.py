"""Deleted runs on a store of MLflow's own, in SQLite, with artifacts in files."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store

from modelyard.tracking.garbage import Collected, collect

DAY = 86_400.0


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's schema, which takes its time to make."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    SqlAlchemyStore(f"sqlite:///{file}", str(file.parent))
    return file


@pytest.fixture
def uri(empty: Path, tmp_path: Path) -> str:
    shutil.copy(empty, tmp_path)
    return f"sqlite:///{tmp_path}/{empty.name}"


@pytest.fixture
def client(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    return MlflowClient(uri, uri)


@pytest.fixture
def store(uri: str, client: MlflowClient, tmp_path: Path) -> SqlAlchemyStore:
    found = _get_store(uri, str(tmp_path / "artifacts"))
    assert isinstance(found, SqlAlchemyStore)
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets days go by."""

    def pass_by(days: float) -> None:
        moment = time.time() + days * DAY
        monkeypatch.setattr(time, "time", lambda: moment)

    return pass_by


def a_run(client: MlflowClient, experiment: str = "0") -> tuple[str, Path]:
    """A run and its artifact's file."""
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "a note", "note.txt")
    return run.info.run_id, Path(run.info.artifact_uri.removeprefix("file://")) / "note.txt"


def test_a_run_deleted_long_ago_goes_with_its_artifacts(
    client: MlflowClient, store: Any, later: Callable[[float], None]
) -> None:
    run, file = a_run(client)
    assert file.exists()
    client.delete_run(run)
    later(31)
    assert collect(store, client, kept_days=30) == Collected(1, 0, 0, {})
    assert not file.exists()
    with pytest.raises(MlflowException):
        client.get_run(run)


def test_one_that_was_just_deleted_or_is_alive_stays(
    client: MlflowClient, store: Any, later: Callable[[float], None]
) -> None:
    alive, _ = a_run(client)
    run, file = a_run(client)
    client.delete_run(run)
    later(29)
    assert collect(store, client, kept_days=30) == Collected(0, 0, 0, {})
    client.restore_run(run)
    assert file.exists()
    assert client.get_run(alive).info.lifecycle_stage == "active"


def test_what_a_registered_version_comes_from_stays(
    client: MlflowClient, store: Any, later: Callable[[float], None]
) -> None:
    run, file = a_run(client)
    client.create_registered_model("bike")
    client.create_model_version("bike", str(file.parent), run)
    client.delete_run(run)
    later(31)
    assert collect(store, client, kept_days=30) == Collected(0, 0, 1, {})
    assert file.exists()


def test_an_experiment_goes_after_its_runs(client: MlflowClient, store: Any, later: Callable[[float], None]) -> None:
    experiment = client.create_experiment("a try")
    a_run(client, experiment)
    client.delete_experiment(experiment)
    later(31)
    assert collect(store, client, kept_days=30) == Collected(1, 1, 0, {})
    assert client.get_experiment_by_name("a try") is None


def test_an_experiment_with_a_registered_run_stays(
    client: MlflowClient, store: Any, later: Callable[[float], None]
) -> None:
    experiment = client.create_experiment("a try")
    run, file = a_run(client, experiment)
    client.create_registered_model("bike")
    client.create_model_version("bike", str(file.parent), run)
    client.delete_experiment(experiment)
    later(31)
    assert collect(store, client, kept_days=30) == Collected(0, 0, 1, {})
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"


def test_artifacts_that_cannot_be_deleted_keep_their_run(
    client: MlflowClient, store: Any, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = a_run(client)
    client.delete_run(run)
    later(31)

    def away(_run: object) -> None:
        raise ConnectionError("the store is away")

    monkeypatch.setattr("modelyard.tracking.garbage._artifacts_of", away)
    assert collect(store, client, kept_days=30) == Collected(0, 0, 0, {run: "the store is away"})
    assert client.get_run(run).info.lifecycle_stage == "deleted"
