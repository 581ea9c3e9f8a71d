import queue
import threading

from modelyard.kube import watched
from modelyard.kube.api import ConnectionLost
from modelyard.kube.watched import Watched
from tests.support.waiting import eventually

GONE = ConnectionLost("the connection was closed")


class Api:
    """What there is, then what happens, then the end of the connection."""

    def __init__(self, *lists):
        self.lists = list(lists)
        self.happens = queue.Queue()
        self.asked = []

    def list(self, kind, labels):
        self.asked.append((kind, labels))
        found = self.lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return found, "1"

    def watch(self, kind, labels, version):
        while True:
            happened = self.happens.get()
            if isinstance(happened, Exception):
                raise happened
            yield happened


def named(name, **more):
    return {"metadata": {"name": name}, **more}


def test_it_begins_with_what_there_is_and_follows_what_happens():
    api, news = Api([named("a"), named("b")]), threading.Event()
    pods = Watched(api, "Pod", {"app": "x"}, news.set)
    assert pods.found is None
    pods.start()
    eventually(lambda: pods.found is not None)
    assert set(pods.found) == {"a", "b"}
    news.clear()
    for event in (("ADDED", named("c")), ("MODIFIED", named("a", ready=True)), ("DELETED", named("b"))):
        api.happens.put(event)
    eventually(lambda: set(pods.found) == {"a", "c"})
    assert pods.found["a"]["ready"] is True
    assert news.is_set()


def test_a_lost_connection_is_made_anew_and_forgets_what_is_gone(monkeypatch):
    monkeypatch.setattr(watched, "RETRY_SECONDS", 0.01)
    api = Api([named("a")], GONE, [named("b")])
    pods = Watched(api, "Pod", {}, lambda: None)
    pods.start()
    eventually(lambda: pods.found is not None)
    api.happens.put(GONE)
    eventually(lambda: set(pods.found) == {"b"})


def test_while_the_server_is_away_it_is_as_it_last_was(monkeypatch):
    monkeypatch.setattr(watched, "RETRY_SECONDS", 0.01)
    api = Api([named("a")], *[GONE] * 100)
    pods = Watched(api, "Pod", {}, lambda: None)
    pods.start()
    eventually(lambda: pods.found is not None)
    api.happens.put(GONE)
    eventually(lambda: len(api.asked) > 5)
    assert set(pods.found) == {"a"}


def test_whatever_goes_wrong_news_are_read_again(monkeypatch, caplog):
    monkeypatch.setattr(watched, "RETRY_SECONDS", 0.01)
    api = Api([named("a")], *[ValueError("not as expected")] * 5, [named("b")])
    pods = Watched(api, "Pod", {}, lambda: None)
    pods.start()
    eventually(lambda: pods.found is not None)
    api.happens.put(("ADDED", {"no": "metadata"}))
    eventually(lambda: set(pods.found) == {"b"})
    assert [one.exc_info[0] for one in caplog.records if one.exc_info] == [KeyError, ValueError]
