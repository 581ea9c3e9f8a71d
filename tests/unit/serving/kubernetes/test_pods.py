import time
from datetime import UTC, datetime, timedelta

import pytest

from modelyard.serving.kubernetes import pods


def pod(*, ready=True, age=10, containers=(), init=(), conditions=(), **metadata):
    created = datetime.now(UTC) - timedelta(seconds=age)
    status = {
        "podIP": "10.0.0.7",
        "conditions": [{"type": "Ready", "status": str(ready)}, *conditions],
        "containerStatuses": list(containers),
        "initContainerStatuses": list(init),
    }
    names = {
        "name": "model-bike-v3-abc",
        "uid": "a-uid",
        "labels": {"modelyard.dev/model": "bike", "modelyard.dev/version": "3"},
        "annotations": {"modelyard.dev/model": "bike"},
        "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"metadata": names | metadata, "status": status}


def ended(name, code, message="", *, state="lastState", restarts=1, **more):
    end = {"exitCode": code, "message": message, **more}
    return {"name": name, "restartCount": restarts, state: {"terminated": end}}


def test_a_ready_pod():
    replica = pods.replica_of(pod())
    assert (replica.name, replica.key, replica.ready, replica.starts) == ("model-bike-v3-abc", ("bike", 3), True, 1)
    assert not replica.removing
    assert pods.address(pod()) == "10.0.0.7"


@pytest.mark.parametrize("age", [-3600, 10, 3600])
def test_its_age_counts_from_when_it_was_first_seen_whatever_the_servers_clock_says(age, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    sightings = pods.Sightings()
    for now[0] in (1000.0, 1040.0):
        (replica,) = sightings.replicas([pod(age=age)])
        assert replica.since == 1000.0


def test_another_pod_of_the_same_name_was_not_seen_before(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    sightings = pods.Sightings()
    sightings.replicas([pod()])
    now[0] = 1040.0
    (replica,) = sightings.replicas([pod(uid="another")])
    assert replica.since == 1040.0


def test_pods_that_serve_no_model_are_no_replicas():
    assert pods.Sightings().replicas([pod(annotations={})]) == ()


def test_a_pod_that_is_being_deleted():
    assert pods.replica_of(pod(deletionTimestamp="2026-01-01T00:00:00Z")).removing


@pytest.mark.parametrize("name", ["server", "fetch"])
@pytest.mark.parametrize("state", ["state", "lastState"])
def test_a_refusal_is_known_by_its_exit_code(name, state):
    replica = pods.replica_of(pod(ready=False, containers=[ended(name, 3, "no such file\n", state=state)]))
    assert replica.refuses
    assert replica.log == "no such file"


def test_another_end_is_tried_again():
    replica = pods.replica_of(pod(ready=False, containers=[ended("server", 137, restarts=2)]))
    assert not replica.refuses
    assert replica.starts == 3


def test_files_that_were_fetched_are_no_trouble():
    done = {"name": "fetch", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}
    replica = pods.replica_of(pod(init=[done]))
    assert (replica.refuses, replica.log, replica.trouble) == (False, "", "")


def test_a_pod_that_no_node_takes():
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: no GPU"}
    assert pods.replica_of(pod(ready=False, conditions=[unscheduled])).trouble == (
        "no node takes it: 0/3 nodes are available: no GPU"
    )


def test_an_image_that_is_not_to_be_had():
    waiting = {"reason": "ImagePullBackOff", "message": "no such manifest"}
    container = {"name": "server", "restartCount": 0, "state": {"waiting": waiting}}
    assert pods.replica_of(pod(ready=False, containers=[container])).trouble == "ImagePullBackOff: no such manifest"


def test_a_container_that_is_being_made_is_no_trouble():
    container = {"name": "server", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    assert pods.replica_of(pod(ready=False, containers=[container])).trouble == ""


def test_a_model_that_needs_more_memory_than_it_may_have():
    killed = ended("server", 137, reason="OOMKilled")
    assert pods.replica_of(pod(ready=False, containers=[killed])).trouble == "server needed more memory than its limit"


def test_an_address_of_ipv6_is_written_as_urls_have_it():
    found = pod()
    found["status"]["podIP"] = "fd00::7"
    assert pods.address(found) == "[fd00::7]"
