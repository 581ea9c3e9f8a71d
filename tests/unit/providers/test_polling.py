"""What a wait finds out, on an API server that only remembers; pods that run are in none of the tests beside."""

import threading

import pytest

from tests.support.providers.kubernetes.api import Place
from tests.support.providers.kubernetes.errors import NotReady
from tests.support.providers.kubernetes.polling import Patience

PLACE = Place("batch/v1", "Job", "work", "train", "/apis/batch/v1/namespaces/work/jobs/train")


class Remembered:
    """An API server's answers."""

    def __init__(self, live, pods=(), events=()):
        self.live, self.pods, self.events = live, list(pods), list(events)

    def get(self, place):
        return self.live

    def list(self, api_version, kind, namespace, **parameters):
        return {"Pod": self.pods, "Event": self.events}[kind]

    def log(self, namespace, pod, container, lines):
        return f"{pod}/{container}: out of memory\n"


def pod(state, name="train-x"):
    status = {"containerStatuses": [{"name": "main", "state": state}]}
    return {"metadata": {"name": name, "namespace": "work"}, "status": status}


def job(*conditions):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "namespace": "work", "uid": "1"},
        "spec": {"selector": {"matchLabels": {"job": "train"}}},
        "status": {"conditions": list(conditions)},
    }


def reasons(api):
    with pytest.raises(NotReady) as caught:
        Patience(api, threading.Event()).until_ready(PLACE, api.live, seconds=0, tell=lambda _: None)
    return caught.value.reasons


def test_a_failed_job_says_what_its_pod_said_last():
    failed = {"type": "Failed", "status": "True", "message": "it tried too often"}
    ended = pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    assert reasons(Remembered(job(failed), [ended])) == [
        "not ready and never will be: the Job failed: it tried too often",
        "container main of pod train-x ended with exit code 137: OOMKilled",
        "the last lines of container main of pod train-x:\ntrain-x/main: out of memory",
    ]


def test_a_container_that_waits_says_for_what():
    waits = pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    assert "container main of pod train-x waits: ImagePullBackOff: no such image" in reasons(Remembered(job(), [waits]))


def test_a_pod_without_a_node_says_why():
    unscheduled = pod({})
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    unscheduled["status"]["conditions"] = [why]
    assert "pod train-x is not scheduled: Unschedulable: 0/3 nodes are available" in reasons(
        Remembered(job(), [unscheduled])
    )


def test_warnings_about_the_object_are_told():
    event = {"reason": "FailedCreate", "message": "exceeded quota"}
    assert "FailedCreate: exceeded quota" in reasons(Remembered(job(), events=[event]))


def test_an_object_that_vanished_is_not_waited_for():
    api = Remembered(job())
    api.live = None
    with pytest.raises(NotReady, match="not there any more"):
        Patience(api, threading.Event()).until_ready(PLACE, job(), seconds=5, tell=lambda _: None)


def test_a_wait_that_is_cancelled_ends_at_once():
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(NotReady, match="the wait was cancelled"):
        Patience(Remembered(job()), cancelled).until_ready(PLACE, job(), seconds=60, tell=lambda _: None)


def test_what_is_held_by_a_finalizer_says_by_which():
    held = job()
    held["metadata"]["finalizers"] = ["example.org/hold"]
    with pytest.raises(NotReady, match=r"train is not gone after 0 s; it is held by its finalizers example\.org/hold"):
        Patience(Remembered(held), threading.Event()).until_gone(PLACE, "1", seconds=0, tell=lambda _: None)


def test_another_object_of_the_same_name_is_not_waited_for():
    Patience(Remembered(job()), threading.Event()).until_gone(PLACE, "2", seconds=0, tell=lambda _: None)
