"""What an earlier release provisioned, a later one can still destroy, and upgrade without replacing data."""

import json

import pytest

import modelyard
from tests.support.local_platform import a_platform, succeeded
from tests.support.state_fixture import FIXTURES, placed

STATES = sorted(FIXTURES.glob("state-*.json"))
HOLD_DATA = ("PostgresData", "DataFolder", "Bucket", "Databases", "GeneratedSecret", "PlatformFolder")


@pytest.fixture(params=STATES, ids=lambda path: path.stem)
def old(request, tmp_path):
    with a_platform() as platform:
        succeeded(platform.pulumi("stack", "init"))
        (tmp_path / "state.json").write_text(placed(request.param, home=platform.home, stack=platform.stack))
        succeeded(platform.pulumi("stack", "import", "--file", str(tmp_path / "state.json")))
        yield platform


def test_there_is_a_state_of_this_release():
    assert f"state-{modelyard.__version__}.json" in [path.name for path in STATES]


def test_an_old_state_can_be_destroyed(old):
    succeeded(old.pulumi("destroy", "--yes"))
    assert [resource["type"] for resource in old.resources()] == []


def test_an_old_state_is_upgraded_without_replacing_what_holds_data(old):
    before = {resource["urn"]: resource.get("id") for resource in old.resources() if holds_data(resource)}
    plan = succeeded(old.pulumi("preview", "--json")).stdout
    replaced = [
        step["urn"]
        for step in json.loads(plan)["steps"]
        if "replace" in step["op"] and step["urn"].split("::")[-2].rsplit(":", 1)[-1] in HOLD_DATA
    ]
    assert replaced == []
    succeeded(old.run("up", "--stack", old.stack))
    assert {resource["urn"]: resource.get("id") for resource in old.resources() if holds_data(resource)} == before


def holds_data(resource):
    return resource["type"].rsplit(":", 1)[-1] in HOLD_DATA
