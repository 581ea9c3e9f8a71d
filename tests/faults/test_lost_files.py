"""Files that somebody deleted: what can be made again is, and what can't is said."""

import shutil

import mlflow
import pytest

from tests.support.local_platform import a_platform, succeeded

SMALL = {"serving_cluster": None, "monitoring": None}


@pytest.fixture(scope="module")
def small():
    with a_platform(**SMALL) as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


def up(platform):
    return platform.run("up", "--stack", platform.stack)


def log_something(platform, tmp_path):
    client = mlflow.MlflowClient(platform.descriptor.tracking_server.url)
    run = client.create_run("0").info.run_id
    (tmp_path / "note.txt").write_text("x")
    client.log_artifact(run, str(tmp_path / "note.txt"))
    return [found.path for found in client.list_artifacts(run)]


@pytest.mark.parametrize(
    "secret",
    [
        "registry_database-mlflow",
        "registry_database-modelyard",
        "artifact_store-access-key",
        "artifact_store-secret-key",
        "tracking_server-session-key",
    ],
)
def test_a_lost_secret_is_generated_and_set_anew_where_it_is_used(small, tmp_path, secret):
    (small.folder / "secrets" / secret).unlink()
    succeeded(up(small))
    assert log_something(small, tmp_path) == ["note.txt"]
    assert "unchanged" in succeeded(up(small)).stderr


def test_lost_ports_are_remembered_by_the_state(small):
    before = {spec.name: spec.ports for spec in small.supervisor.specs()}
    (small.folder / "ports.json").unlink()
    succeeded(up(small))
    assert {spec.name: spec.ports for spec in small.supervisor.specs()} == before


def test_a_lost_descriptor_is_written_anew(small):
    (small.folder / "descriptor.json").unlink()
    succeeded(up(small))
    assert small.descriptor.stack == small.stack


def test_a_lost_stack_file_comes_back_from_its_copy(small):
    settings = small.settings()
    small.stack_file.unlink()
    succeeded(up(small))
    assert small.settings() == settings


def test_lost_data_of_a_throw_away_database_is_made_anew_with_its_schema(small, tmp_path):
    small.supervisor.pause("postgres")
    shutil.rmtree(small.folder / "registry_database" / "data")
    succeeded(up(small))
    assert log_something(small, tmp_path) == ["note.txt"]


def test_lost_data_of_a_protected_database_is_never_replaced_by_an_empty_one():
    with a_platform(protect=True, registry_database={"kind": "process"}, **SMALL) as platform:
        succeeded(up(platform))
        platform.supervisor.pause("postgres")
        data = platform.folder / "registry_database" / "data"
        data.rename(data.with_name("elsewhere"))
        done = up(platform)
        assert done.returncode == 1
        assert "the data of a protected database is gone" in done.stderr
        data.with_name("elsewhere").rename(data)
        succeeded(up(platform))


def test_another_bucket_is_refused_because_artifacts_would_be_left_behind(small):
    small.change(artifact_store={"kind": "process", "bucket": "other"})
    done = up(small)
    assert done.returncode == 1
    assert "can't be renamed from 'mlflow' to 'other'" in done.stderr
    small.change(artifact_store={"kind": "process"})
    succeeded(up(small))
