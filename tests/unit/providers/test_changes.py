import pytest

from tests.support.providers.kubernetes.changes import (
    Change,
    as_found,
    changed,
    keeping,
    parsed_path,
    property_path,
    replacing,
    without,
)


def test_the_servers_bookkeeping_is_no_change():
    old = {"metadata": {"name": "a", "resourceVersion": "1", "generation": 1}, "status": {"phase": "new"}}
    new = {"metadata": {"name": "a", "resourceVersion": "2", "generation": 2}, "status": {"phase": "old"}}
    assert changed(old, new) == {}


def test_fields_are_added_changed_and_taken_away():
    assert changed({"a": 1, "b": {"c": 1}}, {"b": {"c": 2}, "d": 1}) == {
        ("a",): Change.DELETE,
        ("b", "c"): Change.UPDATE,
        ("d",): Change.ADD,
    }


def test_items_of_a_list_are_compared_as_long_as_there_are_as_many():
    assert changed({"a": [{"b": 1}, 2]}, {"a": [{"b": 3}, 2]}) == {("a", 0, "b"): Change.UPDATE}
    assert changed({"a": [1]}, {"a": [1, 2]}) == {("a",): Change.UPDATE}


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("apps/v1", "Deployment", ("spec", "selector", "matchLabels", "app")),
        ("apps/v1", "StatefulSet", ("spec", "volumeClaimTemplates")),
        ("batch/v1", "Job", ("spec", "template", "spec", "containers", 0, "image")),
        ("v1", "PersistentVolumeClaim", ("spec", "storageClassName")),
        ("v1", "Service", ("spec", "clusterIP")),
        ("v1", "Secret", ("data", "password")),
        ("v1", "ConfigMap", ("data", "page")),
        ("storage.k8s.io/v1", "StorageClass", ("provisioner",)),
        ("v1", "Pod", ("metadata", "name")),
    ],
)
def test_some_fields_ask_for_a_new_object(api_version, kind, path):
    assert replacing({"apiVersion": api_version, "kind": kind}, {}, [path]) == {path}


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("apps/v1", "Deployment", ("spec", "replicas")),
        ("v1", "PersistentVolumeClaim", ("spec", "resources", "requests", "storage")),
        ("example.org/v1", "Secret", ("data", "password")),
    ],
)
def test_other_fields_are_changed_in_place(api_version, kind, path):
    assert not replacing({"apiVersion": api_version, "kind": kind}, {}, [path])


def test_contents_are_changed_in_place_where_the_configuration_says_so():
    secret = {"apiVersion": "v1", "kind": "Secret"}
    assert not replacing(secret, {}, [("data", "password")], mutable_kinds=["Secret"])
    assert replacing(secret, {"immutable": True}, [("data", "password")], mutable_kinds=["Secret"])


def test_ignored_changes_are_left_out():
    found = {("spec", "replicas"): Change.UPDATE, ("spec", "containers", 1, "image"): Change.UPDATE}
    assert without(found, [("spec", "replicas")]) == {("spec", "containers", 1, "image"): Change.UPDATE}
    assert without(found, [("spec", "containers", "*", "image"), ("spec", "replicas")]) == {}


def test_ignored_fields_are_applied_as_they_are_in_the_cluster():
    wanted, live = {"spec": {"replicas": 1, "paused": True}}, {"spec": {"replicas": 5, "paused": False}}
    assert keeping(wanted, live, [("spec", "replicas"), ("spec", "missing")]) == {
        "spec": {"replicas": 5, "paused": True}
    }


def test_inputs_take_over_what_others_changed():
    inputs, live = {"spec": {"replicas": 1, "list": [1]}}, {"spec": {"replicas": 5, "list": [1, 2], "other": 1}}
    found = as_found(inputs, live, changed(live, {"spec": {"replicas": 1, "list": [1], "other": 1}}))
    assert found == {"spec": {"replicas": 5, "list": [1, 2]}}


def test_a_secret_that_others_changed_is_taken_over_encoded():
    inputs = {"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "old", "user": "me"}}
    found = as_found(inputs, {"data": {"password": "bmV3"}}, {("data", "password"): Change.UPDATE})
    assert (found["stringData"], found["data"]) == ({"user": "me"}, {"password": "bmV3"})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("spec", "containers", 0, "image"), "spec.containers[0].image"),
        (("metadata", "labels", "app.kubernetes.io/name"), 'metadata.labels["app.kubernetes.io/name"]'),
    ],
)
def test_paths_are_written_as_pulumi_does(path, text):
    assert property_path(path) == text
    assert parsed_path(text) == path
