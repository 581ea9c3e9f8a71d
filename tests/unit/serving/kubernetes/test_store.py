from datetime import UTC, datetime

import pytest

from modelyard.kube.api import Conflict
from modelyard.serving.kubernetes import store
from modelyard.serving.kubernetes.store import SavedObject
from modelyard.serving.pools import DesiredPool, HistoryEntry
from modelyard.serving.saved import Saved
from tests.support.fake_kubernetes import FakeApi

OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "uid": "u"}}
SAVED = Saved(desired=(DesiredPool("bike", "stable", 3, 1, 100, 7, "s"),))


@pytest.fixture
def api():
    return FakeApi()


def saved(api):
    return SavedObject(api, "state", {"app": "x"}, OWNER)


def test_what_was_written_is_read_by_the_next(api):
    first = saved(api)
    assert first.read() == Saved()
    first.write(SAVED)
    first.write(SAVED.model_copy(update={"desired": ()}))
    assert saved(api).read().desired == ()
    assert api.objects["ConfigMap", "state"]["metadata"]["ownerReferences"][0]["name"] == "owner"


def test_of_two_that_write_the_later_is_told(api):
    first, second = saved(api), saved(api)
    first.read()
    second.read()
    first.write(SAVED)
    with pytest.raises(Conflict):
        second.write(SAVED)


def test_what_somebody_deleted_is_made_anew(api):
    first = saved(api)
    first.read()
    first.write(SAVED)
    del api.objects["ConfigMap", "state"]
    first.write(SAVED)
    assert saved(api).read() == SAVED


def test_a_damaged_memory_counts_as_none(api):
    first = saved(api)
    first.read()
    first.write(SAVED)
    api.objects["ConfigMap", "state"]["data"][store.KEY] = "{"
    assert saved(api).read() == Saved()


def test_a_history_that_no_config_map_holds_loses_its_older_part(api, monkeypatch):
    monkeypatch.setattr(store, "LARGEST", 3000)
    entries = tuple(HistoryEntry(datetime.now(UTC), "bike", "stable", n, 100) for n in range(1, 101))
    first = saved(api)
    first.read()
    first.write(SAVED.model_copy(update={"unwritten": entries}))
    kept = saved(api).read()
    assert kept.desired == SAVED.desired
    assert 0 < len(kept.unwritten) < 100
    assert kept.unwritten[-1].version == 100


def test_it_is_noticed_when_somebody_deletes_it(api, monkeypatch):
    monkeypatch.setattr(store, "LOOK_SECONDS", 0)
    first = saved(api)
    first.read()
    first.write(SAVED)
    assert not first.is_lost()
    del api.objects["ConfigMap", "state"]
    assert first.is_lost()
    api.is_away = True
    assert not first.is_lost()


def test_it_is_looked_at_every_few_seconds_only(api, monkeypatch):
    asked = []
    monkeypatch.setattr(api, "get", lambda *what: asked.append(what))
    first = saved(api)
    assert [first.is_lost() for _ in range(5)] == [True, False, False, False, False]
    assert len(asked) == 1
