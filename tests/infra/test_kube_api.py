"""What the platform's own programs ask of Kubernetes' API, on a real API server."""

import threading

import pytest
from lightkube import Client, KubeConfig

from modelyard.kube.api import Api, Conflict
from modelyard.kube.lease import Lease
from modelyard.kube.watched import Watched
from tests.support.waiting import eventually

LABELS = {"app": "kube-api-test"}


@pytest.fixture
def api(api_server):
    config = KubeConfig.from_file(api_server.kubeconfig).get(context_name="modelyard-test")
    api = Api(Client(config=config, trust_env=False), "default", manager="test")
    yield api
    for found in api.list("ConfigMap", LABELS)[0]:
        api.delete("ConfigMap", found["metadata"]["name"])
    api.delete("Lease", "test-lease")


def config_map(name, **data):
    metadata = {"name": name, "namespace": "default", "labels": LABELS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_an_object_that_is_not_there(api):
    assert api.get("ConfigMap", "nobody") is None
    api.delete("ConfigMap", "nobody")


def test_what_was_applied_is_there_and_says_what_it_is(api):
    api.apply(config_map("a", x="1"))
    api.apply(config_map("a", x="2"))
    (found,), _ = api.list("ConfigMap", LABELS)
    assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"x": "2"})
    assert api.get("ConfigMap", "a")["data"] == {"x": "2"}


def test_of_two_that_write_the_later_is_told(api):
    first = api.write(config_map("a", x="1"))
    with pytest.raises(Conflict):
        api.write(config_map("a", x="again"))
    api.write(first | {"data": {"x": "2"}})
    with pytest.raises(Conflict):
        api.write(first | {"data": {"x": "3"}})
    assert api.get("ConfigMap", "a")["data"] == {"x": "2"}


def test_what_happens_is_seen(api):
    api.apply(config_map("a", x="1"))
    news = threading.Event()
    watched = Watched(api, "ConfigMap", LABELS, news.set)
    watched.start()
    eventually(lambda: watched.found is not None)
    api.apply(config_map("b", x="1"))
    eventually(lambda: set(watched.found) == {"a", "b"})
    api.apply(config_map("a", x="2"))
    eventually(lambda: watched.found["a"]["data"] == {"x": "2"})
    api.delete("ConfigMap", "b")
    eventually(lambda: set(watched.found) == {"a"})
    assert {one["kind"] for one in watched.found.values()} == {"ConfigMap"}
    assert news.is_set()


def test_a_lease_is_held_by_one(api):
    one, two = Lease(api, "test-lease", "one"), Lease(api, "test-lease", "two")
    one.try_to_hold()
    two.try_to_hold()
    assert (one.is_held, two.is_held) == (True, False)
    one.try_to_hold()
    spec = api.get("Lease", "test-lease")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("one", 1)
    one.start()
    one.stop()
    two.try_to_hold()
    assert two.is_held
