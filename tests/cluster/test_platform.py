"""A platform on a real node: its pods, what they keep from each other, and what survives what."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from tests.support.cluster_platform import ClusterPlatform, said
from tests.support.cluster_pods import CLOSED, met, of_workloads, replace
from tests.support.cluster_runs import runs_logged
from tests.support.node import Node, images


@pytest.fixture
def password(platform: ClusterPlatform) -> str:
    """The tracking server's admin's."""
    return platform.secret("tracking-server-admin", "password")


@pytest.fixture
def tracking(platform: ClusterPlatform) -> Iterator[str]:
    with platform.forwarded("tracking-server", 80) as address:
        yield f"http://{address}"


@pytest.fixture
def client(tracking: str, password: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    mlflow.set_tracking_uri(tracking)
    return MlflowClient(tracking)


def test_all_pods_are_ready(platform: ClusterPlatform) -> None:
    platform.settle()
    own = ("get", "pods", "-l", "app.kubernetes.io/part-of=modelyard")
    assert platform.kubectl(*own, "--field-selector", "status.phase=Failed", "-o", "name") == ""


def test_what_it_has_outside_of_its_namespace_is_known(platform: ClusterPlatform) -> None:
    """So that nothing of it is overlooked when it is gone: every platform of these tests is looked for at its end."""
    traces = platform.traces()
    assert f"namespace/{platform.namespace}" in traces
    assert {trace.partition("/")[0] for trace in traces} == {"namespace", "persistentvolume"}


def test_a_run_and_its_artifact_are_kept(client: MlflowClient, tmp_path: Path) -> None:
    run = client.create_run("0").info.run_id
    client.log_metric(run, "rmse", 1.5)
    (tmp_path / "notes.txt").write_text("from outside")
    client.log_artifact(run, str(tmp_path / "notes.txt"))
    assert client.get_run(run).data.metrics == {"rmse": 1.5}
    assert Path(client.download_artifacts(run, "notes.txt", str(tmp_path))).read_text() == "from outside"


def test_an_artifact_lies_on_the_stores_volume(own_node: Node, client: MlflowClient, tmp_path: Path) -> None:
    run = client.create_run("0").info.run_id
    (tmp_path / "kept.txt").write_text("from outside")
    client.log_artifact(run, str(tmp_path / "kept.txt"))
    volumes = list((own_node.folder / "volumes").rglob("kept.txt"))
    assert [str(path.relative_to(path.parents[4])) for path in volumes] == [f"mlflow/0/{run}/artifacts/kept.txt"]


def test_the_environment_of_clients_has_the_login_and_a_key(platform: ClusterPlatform) -> None:
    lines = said(platform.run("env"))
    password = platform.secret("tracking-server-admin", "password")
    assert password not in lines
    evaluated = 'eval "$LINES"; echo "$MLFLOW_TRACKING_USERNAME $MLFLOW_TRACKING_PASSWORD $MODELYARD_SERVING_KEY"'
    done = subprocess.run(
        ["/bin/sh", "-c", evaluated], env=platform.environment | {"LINES": lines}, capture_output=True, text=True
    )
    key = platform.secret("serving-cluster-api-keys", "team")
    assert done.stdout.split() == ["admin", password, key], done.stderr


def test_nobody_gets_in_without_a_login(tracking: str) -> None:
    assert httpx.get(f"{tracking}/api/2.0/mlflow/experiments/search?max_results=1").status_code == 401
    assert httpx.get(f"{tracking}/health").status_code == 200


def test_the_default_login_of_mlflow_is_refused(tracking: str) -> None:
    url = f"{tracking}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(url, auth=("admin", "password1234")).status_code == 401


def test_another_host_is_refused(tracking: str, password: str) -> None:
    url = f"{tracking}/api/2.0/mlflow/experiments/search?max_results=1"
    refused = httpx.get(url, auth=("admin", password), headers={"Host": "evil.example"})
    assert refused.status_code == 403


def test_nothing_secret_is_in_the_state_or_in_a_manifest(platform: ClusterPlatform, password: str) -> None:
    assert password not in platform.state
    for kind in ("pods", "configmaps", "deployments", "statefulsets", "jobs"):
        assert password not in platform.kubectl("get", kind, "-o", "yaml")


def test_up_again_changes_nothing(platform: ClusterPlatform) -> None:
    assert platform.changes() == {}


def test_a_pod_that_no_part_knows_reaches_none(platform: ClusterPlatform, references: dict[str, str]) -> None:
    tracking = ("tracking-server", 80)
    assert set(met(platform, references, [("registry-database", 5432), ("artifact-store", 7070), tracking])) <= CLOSED
    assert met(platform, references, [tracking], uses="tracking-server", once_open=tracking) == ["open"]


def test_a_new_image_and_a_changed_setting_roll_their_workloads_alone_and_no_request_fails(
    platform: ClusterPlatform, references: dict[str, str]
) -> None:
    """Another digest for the tracking server, another setting for the serving agent, and one `up`."""
    platform.settle()
    image = images.again(references["tracking-server"])
    before = of_workloads(platform)
    with runs_logged(platform, references) as runs:
        platform.configure(references | {"tracking-server": image}, serving_cluster={"busy_percent": 70})
        platform.up()
        runs.wait_for(20)
    assert runs.failed == []
    assert len(runs.acknowledged) > 50
    platform.settle()
    after = of_workloads(platform)
    rolled = {name for name in before if before[name].keys() != after.get(name, {}).keys()}
    assert rolled == {"tracking-server", "serving-agent"}
    assert not any(before[name].keys() & after[name].keys() for name in rolled)
    used = {pod["spec"]["containers"][0]["image"] for pod in after["tracking-server"].values()}
    assert used == {image}
    assert platform.changes() == {}


def test_what_was_acknowledged_survives_the_databases_death(
    platform: ClusterPlatform, references: dict[str, str], client: MlflowClient
) -> None:
    with runs_logged(platform, references) as runs:
        runs.wait_for(20)
        replace(platform, "registry-database-0", "--grace-period=0", "--force")
        runs.wait_for(20)
    kept = set()
    token = None
    while True:
        page = client.search_runs(["0"], max_results=1000, page_token=token)
        kept |= {run.info.run_id for run in page}
        token = page.token
        if not token:
            break
    assert set(runs.acknowledged) <= kept


def test_a_killed_replica_is_replaced(platform: ClusterPlatform) -> None:
    platform.settle()
    victim, *_ = of_workloads(platform)["tracking-server"].values()
    platform.kubectl("delete", "pod", victim["metadata"]["name"], "--wait=false")
    platform.settle()
    assert victim["metadata"]["uid"] not in of_workloads(platform)["tracking-server"]
