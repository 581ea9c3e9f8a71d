import json

import pytest

from modelyard import descriptor
from modelyard.errors import ModelyardError, Unreachable


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    monkeypatch.delenv("MODELYARD_STACK", raising=False)
    return tmp_path


def write(home, stack, **changes):
    folder = home / "platforms" / stack
    folder.mkdir(parents=True)
    document = {"stack": stack, "protect": False, "folder": str(folder)} | changes
    (folder / "descriptor.json").write_text(json.dumps(document))


def test_the_only_platform_needs_no_name(home):
    write(home, "local")
    assert descriptor.find().stack == "local"


def test_several_platforms_need_a_name_and_are_listed(home):
    write(home, "local")
    write(home, "pr-42")
    with pytest.raises(ModelyardError, match="local, pr-42"):
        descriptor.find()


def test_the_environment_names_the_platform(home, monkeypatch):
    write(home, "local")
    write(home, "pr-42")
    monkeypatch.setenv("MODELYARD_STACK", "pr-42")
    assert descriptor.find().stack == "pr-42"


def test_an_unknown_platform_is_unreachable_and_says_what_makes_it(home):
    with pytest.raises(Unreachable, match="make up STACK=pr-42"):
        descriptor.find("pr-42")


def test_a_descriptor_of_another_version_says_where_it_differs(home):
    write(home, "local", schema_version=2)
    with pytest.raises(ModelyardError, match="schema_version"):
        descriptor.find()


def test_a_damaged_descriptor_says_how_to_mend_it(home):
    write(home, "local")
    (home / "platforms" / "local" / "descriptor.json").write_text("{")
    with pytest.raises(ModelyardError, match="make up STACK=local"):
        descriptor.find()
