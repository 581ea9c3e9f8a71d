import json

import pytest

from modelyard.errors import AnswerIsNo, ModelyardError, Unreachable
from modelyard.serving.kubernetes import fetch
from modelyard.serving.kubernetes.settings import REFUSED


class Registry:
    """One that says these things, one after the other, and then has the files."""

    says: tuple[Exception, ...] = ()

    def __init__(self):
        self.asked = 0

    def connect(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def download(self, _model, folder):
        self.asked += 1
        if self.asked <= len(self.says):
            raise self.says[self.asked - 1]
        folder.mkdir(exist_ok=True)
        (folder / "MLmodel").write_text("flavors: {}")


@pytest.fixture
def registry(monkeypatch):
    registry = Registry()
    monkeypatch.setattr(fetch, "MlflowRegistry", registry)
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.001)
    return registry


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The program; returns its exit code."""

    def run(patience=30):
        tracking = {"url": "http://tracking", "username": None, "password_file": None}
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps({"tracking": tracking, "patience_seconds": patience}))
        wanted = {"name": "bike", "version": 1, "source": "s", "folder": str(tmp_path / "model")}
        monkeypatch.setenv(fetch.VARIABLE, json.dumps(wanted | {"manifest": str(tmp_path / "model.json")}))
        return fetch.main([str(settings)])

    return run


def test_files_and_their_digests_are_there_afterwards(registry, run, tmp_path):
    assert run() == 0
    assert (tmp_path / "model" / "MLmodel").exists()
    assert list(json.loads((tmp_path / "model.json").read_text())) == ["MLmodel"]


def test_what_is_there_already_is_not_fetched_again(registry, run):
    assert [run(), run()] == [0, 0]
    assert registry.asked == 1


def test_files_that_are_not_what_they_were_are_fetched_again(registry, run, tmp_path):
    run()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {python_function: {}}")
    assert run() == 0
    assert registry.asked == 2


def test_a_server_that_is_away_for_a_moment_is_asked_again(registry, run):
    registry.says = (Unreachable("away"), Unreachable("away"))
    assert run() == 0
    assert registry.asked == 3


def test_a_server_that_is_away_for_too_long_is_another_pods_try(registry, run, capsys):
    registry.says = (ModelyardError("the tracking server is away"),) * 1000
    assert run(patience=0.02) == 1
    assert "the tracking server is away" in capsys.readouterr().err


def test_files_that_are_not_to_be_had_are_not_tried_again(registry, run, capsys):
    registry.says = (AnswerIsNo("there are no such files"),)
    assert run() == REFUSED
    assert registry.asked == 1
    assert "there are no such files" in capsys.readouterr().err
