import threading

import pytest

from modelyard.errors import AnswerIsNo, Unreachable
from modelyard.registry.versions import ModelVersion
from modelyard.serving import downloads
from modelyard.serving.downloads import Downloads

MODEL = ModelVersion("bike", 3, "s")


class Store:
    """Fails as it is told."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def fetch(self, model):
        if self.errors:
            raise self.errors.pop(0)


def outcome(store):
    done = threading.Event()
    under_way = Downloads(store, done.set)
    under_way.begin(MODEL)
    assert done.wait(5)
    done.clear()
    return under_way, done


def test_files_that_came_are_here():
    under_way, _ = outcome(Store())
    assert under_way.states()["bike", 3].state == "here"


def test_files_that_can_not_be_had_are_refused_with_the_reason():
    under_way, _ = outcome(Store(AnswerIsNo("no MLmodel")))
    assert under_way.states()["bike", 3].state == "refused"
    assert under_way.states()["bike", 3].message == "no MLmodel"


@pytest.mark.parametrize("error", [Unreachable("the server is down"), OSError("disk full")])
def test_what_may_pass_is_tried_again(monkeypatch, error):
    monkeypatch.setattr(downloads, "RETRY_SECONDS", 0.0)
    under_way, done = outcome(Store(error))
    assert under_way.states()["bike", 3].state == "coming"
    under_way.retry({("bike", 3): "s"})
    assert done.wait(5)
    assert under_way.states()["bike", 3].state == "here"


def test_a_version_that_nobody_wants_any_more_is_not_tried_again(monkeypatch):
    monkeypatch.setattr(downloads, "RETRY_SECONDS", 0.0)
    under_way, done = outcome(Store(Unreachable("the server is down")))
    under_way.retry({})
    assert not done.wait(0.2)
