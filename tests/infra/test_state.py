"""What lies on disk for a stack: whose it is, and what of it goes with the platform."""

import shutil

import pytest

from modelyard.errors import ModelyardError
from modelyard_infra.commands import state


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of its own, and a home with the state of a platform `demo` in it."""
    folder = tmp_path / "checkout"
    shutil.copytree(state.project_folder() / "stacks" / "templates", folder / "stacks" / "templates")
    (folder / "Pulumi.yaml").write_text("name: modelyard\n")
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(state, "project_folder", lambda: folder)
    state.project_name.cache_clear()
    file = state.state_file("demo")
    file.parent.mkdir(parents=True)
    file.write_text('{"checkpoint": {"latest": {"resources": []}}}')
    yield folder
    state.project_name.cache_clear()


def test_a_stack_file_that_nobody_changed_goes_with_the_platform(checkout):
    file = state.ensure_stack_file("demo")
    file.write_text(file.read_text().replace("protect: false", 'protect: "false"') + "encryptionsalt: v1:x\n")
    state.forget("demo")
    assert not file.exists()


def test_a_stack_file_that_a_person_changed_stays_without_the_salt(checkout):
    file = state.ensure_stack_file("demo")
    file.write_text(file.read_text() + "  modelyard:minimum_free_mib: 5\nencryptionsalt: v1:x\n")
    state.forget("demo")
    assert "minimum_free_mib: 5" in file.read_text()
    assert "encryptionsalt" not in file.read_text()


def test_a_platform_of_another_checkout_is_left_alone_even_if_there_is_a_file(checkout, tmp_path, monkeypatch):
    state.ensure_stack_file("demo")
    state.keep_stack_file("demo")
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    monkeypatch.setattr(state, "project_folder", lambda: other)
    with pytest.raises(ModelyardError, match=f"belongs to the checkout in {checkout}"):
        state.ensure_stack_file("demo")


def test_a_platform_of_a_checkout_that_is_gone_can_be_taken_over(checkout, tmp_path, monkeypatch):
    state.ensure_stack_file("demo").write_text("config:\n  modelyard:protect: false\n")
    state.keep_stack_file("demo")
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    (other / "stacks" / "Pulumi.demo.yaml").unlink()
    shutil.rmtree(checkout)
    monkeypatch.setattr(state, "project_folder", lambda: other)
    assert state.ensure_stack_file("demo").read_text() == "config:\n  modelyard:protect: false\n"


def test_two_commands_on_one_stack_exclude_each_other(checkout):
    with state.alone("demo"), pytest.raises(ModelyardError, match="another command works on"), state.alone("demo"):
        pass


def test_forgetting_a_stack_keeps_one_whose_name_begins_alike(checkout):
    neighbour = state.state_file("demo.json")
    neighbour.write_text("{}")
    state.forget("demo")
    assert neighbour.exists()


def test_nothing_of_a_forgotten_stack_stays_in_the_home(checkout, tmp_path):
    state.ensure_stack_file("demo")
    with state.alone("demo"):
        state.keep_stack_file("demo")
        state.forget("demo")
    assert [path for path in (tmp_path / "home").rglob("*demo*")] == []
