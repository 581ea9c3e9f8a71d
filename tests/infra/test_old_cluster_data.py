"""What holds data in a platform that an earlier release made in a cluster is gone on with by this one, not replaced."""

import json

import pytest

import modelyard
from tests.infra.test_cluster_checks import whole
from tests.support.cluster_state_fixture import FILE, FIXTURES, holds_data, place_of
from tests.support.providers.kubernetes import changes

RELEASES = sorted(FIXTURES.glob("cluster-data-*.json"))


@pytest.fixture
def now(registered_cluster):
    """What this release asks for, by its place in the state."""
    found = [one for one in registered_cluster(everything=True) if holds_data(one.urn)]
    return {place_of(one.urn): whole(one.inputs) for one in found}


def of(release):
    """By place, what was asked for."""
    return {one["place"]: one["inputs"] for one in json.loads(release.read_text().replace("@STACK@", "test"))}


def test_there_is_a_record_of_this_release():
    assert FILE.name == f"cluster-data-{modelyard.__version__}.json"
    assert FILE in RELEASES


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_nothing_that_holds_data_is_left_or_made_elsewhere(release, now):
    assert sorted(of(release).keys() - now.keys()) == []


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_nothing_that_holds_data_is_replaced(release, now):
    old = of(release)
    assert [place for place in old if place in now and replaces(old[place], now[place])] == []


@pytest.mark.parametrize(
    ("key", "value"), [("storageClassName", "other"), ("accessModes", ["ReadWriteMany"]), ("volumeName", "pv")]
)
def test_a_volume_that_would_be_replaced_is_noticed(now, key, value):
    place, claim = next((place, one) for place, one in now.items() if one.get("kind") == "PersistentVolumeClaim")
    assert not replaces(claim, now[place])
    assert replaces(claim, now[place] | {"spec": claim["spec"] | {key: value}})


def replaces(old, new):
    """The fields that ask for a new object; of a generated password, any field."""
    found = changes.changed(old, new)
    return changes.replacing(new, {}, found) if "kind" in new else frozenset(found)
