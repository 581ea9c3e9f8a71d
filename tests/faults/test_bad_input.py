"""What people get wrong: each ends with what, where, what is valid and what to do, and leaves nothing half-made."""

import socket

import pytest

from tests.support.local_platform import LocalPlatform, succeeded


def refused(platform, *arguments, code=None, **env):
    done = platform.run(*(arguments or ("up", "--stack", platform.stack)), **env)
    assert done.returncode != 0
    assert code in (None, done.returncode), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_misspelt_setting_makes_nothing(fresh):
    fresh.change(monitoring={"kind": "process", "retention_day": 3})
    said = refused(fresh, code=2)
    assert "modelyard:monitoring.retention_day is not a setting" in said
    assert "did you mean 'retention_days'?" in said
    assert not fresh.folder.exists()


def test_plain_pulumi_refuses_a_misspelt_setting_too(fresh):
    succeeded(fresh.pulumi("stack", "init"))
    fresh.change(montoring={"kind": "process"})
    done = fresh.pulumi("up", "--yes")
    assert done.returncode != 0
    assert "did you mean 'monitoring'?" in done.stdout + done.stderr
    assert not fresh.folder.exists()


def test_a_stack_file_that_is_not_yaml_is_named(fresh):
    fresh.stack_file.write_text("config: [\n")
    assert f"{fresh.stack_file} is not YAML" in refused(fresh, code=2)


@pytest.mark.parametrize("name", ["-x", "a b", "../up", ""])
def test_a_name_that_cannot_be_a_stack_is_refused(fresh, name):
    assert "can't be the name of a stack" in refused(fresh, "up", f"--stack={name}", code=2)


def test_a_port_in_use_says_by_whom(fresh):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fresh.change(registry_database={"kind": "process", "durability": "fast", "port": port})
        said = refused(fresh, code=1)
    assert f"port {port} is in use by python" in said
    assert "choose another port in the stack's file" in said


def test_up_succeeds_once_the_port_is_free_again(fresh):
    test_a_port_in_use_says_by_whom(fresh)
    succeeded(fresh.run("up", "--stack", fresh.stack))


def test_a_home_that_cannot_be_written_is_named(fresh):
    (fresh.home / "file").write_text("")
    said = refused(fresh, MODELYARD_HOME=str(fresh.home / "file" / "home"), code=2)
    assert "can't be written" in said
    assert "MODELYARD_HOME" in said


@pytest.mark.parametrize("character", [" ", "%", "#", ";", "["])
def test_a_home_that_would_be_misread_is_refused_before_anything_is_made(fresh, character):
    home = fresh.home / f"a{character}b"
    said = refused(fresh, MODELYARD_HOME=str(home), code=2)
    assert "would misread" in said
    assert not home.exists()


def test_a_pinned_port_that_another_platform_has_is_refused_with_its_name(fresh):
    other = fresh.home / "platforms" / "other"
    other.mkdir(parents=True)
    (other / "ports.json").write_text('{"tracking_server": {"mlflow": 25432}}')
    fresh.change(registry_database={"kind": "process", "durability": "fast", "port": 25432})
    assert "port 25432 is in use by tracking_server.mlflow of platform 'other'" in refused(fresh, code=1)


def test_a_stack_whose_file_belongs_into_git_is_not_made_from_the_throw_away_template(fresh):
    assert "no throw-away platform" in refused(fresh, "up", "--stack", "prod", code=2)


def test_a_disk_that_is_nearly_full_is_refused_before_anything_is_made(fresh):
    fresh.change(minimum_free_mib=10**9)
    said = refused(fresh, code=1)
    assert "nearly full" in said
    assert "modelyard:minimum_free_mib" in said
    assert fresh.supervisor.specs() == []


def test_a_tool_that_is_missing_is_named_with_the_way_to_get_it(fresh, tmp_path):
    said = refused(fresh, MODELYARD_CACHE=str(tmp_path / "empty"), code=2)
    assert "pulumi" in said
    assert "make tools" in said


def test_a_wrong_passphrase_is_explained(fresh: LocalPlatform):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    passphrase = fresh.home / "passphrase"
    right = passphrase.read_text()
    passphrase.write_text("something else\n")
    said = refused(fresh, code=1)
    assert "incorrect passphrase" in said
    assert str(passphrase) in said
    passphrase.write_text(right)
    succeeded(fresh.run("up", "--stack", fresh.stack))


def test_a_damaged_state_says_how_to_get_the_last_good_one_back(fresh):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    fresh.state_file.write_text(fresh.state_file.read_text()[:100])
    said = refused(fresh, code=2)
    assert "is damaged" in said
    command = said.split("`")[1]
    assert command.startswith("cp ")
    import subprocess

    subprocess.run(command.split(), check=True)
    succeeded(fresh.run("up", "--stack", fresh.stack))


def test_a_damaged_state_can_be_removed_by_force(fresh):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    fresh.state_file.write_text("{")
    assert "FORCE=1" in refused(fresh, "down", "--stack", fresh.stack, code=2)
    succeeded(fresh.run("down", "--stack", fresh.stack, "--force"))
    assert not fresh.folder.exists()


def test_a_failed_up_can_be_taken_down_without_a_trace(fresh):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fresh.change(monitoring={"kind": "process", "prometheus_port": taken.getsockname()[1]})
        refused(fresh, code=1)
    succeeded(fresh.run("down", "--stack", fresh.stack))
    assert not fresh.folder.exists()
    assert not fresh.state_file.exists()


def test_a_protected_platform_is_not_removed_without_consent(fresh):
    fresh.change(protect=True, registry_database={"kind": "process"})
    succeeded(fresh.run("up", "--stack", fresh.stack))
    said = refused(fresh, "down", "--stack", fresh.stack, code=2)
    assert "0 runs and 0 model versions" in said
    assert "YES=1" in said
    assert {process.state for process in fresh.supervisor.status()} == {"running"}
    assert "protected" in fresh.pulumi("destroy", "--yes").stdout
    succeeded(fresh.run("down", "--stack", fresh.stack, "--yes"))
    assert not fresh.folder.exists()


def answered(platform, answer):
    """`down` with somebody at the terminal who types this."""
    import os
    import pty
    import subprocess

    from tests.support.local_platform import MODELYARD, ROOT

    ours, terminal = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    try:
        command = [str(MODELYARD), "down", "--stack", platform.stack]
        return subprocess.run(command, stdin=terminal, env=platform.env, cwd=ROOT, capture_output=True, text=True)
    finally:
        os.close(ours)
        os.close(terminal)


def test_a_protected_platform_goes_once_its_name_is_typed(fresh):
    fresh.change(protect=True, registry_database={"kind": "process"}, monitoring=None, serving_cluster=None)
    succeeded(fresh.run("up", "--stack", fresh.stack))
    refusal = answered(fresh, "yes")
    assert refusal.returncode == 1
    assert "nothing was deleted" in refusal.stderr
    assert fresh.folder.exists()
    succeeded(answered(fresh, fresh.stack))
    assert not fresh.folder.exists()


def test_a_protected_platform_without_a_readable_descriptor_is_not_removed_without_consent(fresh):
    fresh.change(protect=True, registry_database={"kind": "process"}, monitoring=None, serving_cluster=None)
    succeeded(fresh.run("up", "--stack", fresh.stack))
    (fresh.folder / "descriptor.json").write_text('{"schema_version": 2}')
    assert "is protected" in refused(fresh, "down", "--stack", fresh.stack, code=2)
    assert {process.state for process in fresh.supervisor.status()} == {"running"}


def test_a_down_that_cannot_be_done_stops_nothing(fresh, tmp_path):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    refused(fresh, "down", "--stack", fresh.stack, MODELYARD_CACHE=str(tmp_path / "empty"), code=2)
    assert {process.state for process in fresh.supervisor.status()} == {"running"}


def test_plain_destroy_leaves_nothing_of_a_throw_away_platform(fresh):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    succeeded(fresh.pulumi("destroy", "--yes"))
    assert not fresh.folder.exists()


def test_down_of_a_platform_that_is_not_there_says_so(fresh):
    done = succeeded(fresh.run("down", "--stack", fresh.stack))
    assert "there is no platform" in done.stderr
