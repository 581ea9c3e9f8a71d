"""docs/extending.md, executed: a kind is added by one file."""

import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import yaml

import modelyard_infra.parts
from tests.support.local_platform import ROOT, LocalPlatform, a_platform, succeeded

PAGE = (ROOT / "docs" / "extending.md").read_text()


def block(name: str) -> str:
    match = re.search(rf"```\w+ file={re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None, f"docs/extending.md has no block {name}"
    return match[1]


@pytest.fixture(scope="module")
def extended() -> Iterator[LocalPlatform]:
    kind = Path(modelyard_infra.parts.__file__).parent / "artifact_store" / "memory.py"
    assert not kind.exists()
    kind.write_text(block("memory.py"))
    try:
        with a_platform() as platform:
            platform.change(artifact_store=yaml.safe_load(block("stack.yaml"))["modelyard:artifact_store"])
            succeeded(platform.run("up", "--stack", platform.stack))
            yield platform
    finally:
        kind.unlink()


def test_the_new_kind_keeps_artifacts(extended, tmp_path):
    (tmp_path / "note.txt").write_text("in memory")
    client = mlflow.MlflowClient(extended.descriptor.tracking_server.url)
    run = client.create_run("0").info.run_id
    client.log_artifact(run, str(tmp_path / "note.txt"))
    assert [path.name for path in Path(f"/dev/shm/modelyard-{extended.stack}").rglob("note.txt")] == ["note.txt"]


def test_another_kind_of_a_part_that_holds_data_is_refused(extended):
    extended.change(artifact_store={"kind": "process"})
    done = extended.run("up", "--stack", extended.stack)
    assert done.returncode == 1
    assert "holds data and is of kind 'memory'" in done.stderr
    assert "migrated_from: memory" in done.stderr
    extended.change(artifact_store={"kind": "memory"})
    succeeded(extended.run("up", "--stack", extended.stack))


def test_the_new_kind_leaves_nothing(extended):
    succeeded(extended.run("down", "--stack", extended.stack))
    assert not Path(f"/dev/shm/modelyard-{extended.stack}").exists()
