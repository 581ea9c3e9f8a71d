"""A platform on a real node: its pods, what they keep from each other, and what survives what."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from tests.support.cluster_platform import ClusterPlatform, said
from tests.support.cluster_pods import finished, run_pod, start_pod
from tests.support.node import Node
from tests.support.waiting import eventually

CLIENT = Path(__file__).with_name("client.py").read_text()

PATIENT = """
import socket, time
for _ in range(60):
    try:
        socket.create_connection(("{host}", {port}), timeout=1)
        print("open")
        break
    except OSError:
        time.sleep(0.5)
"""


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
    pods = json.loads(platform.kubectl("get", "pods", "-o", "json"))["items"]
    phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in pods}
    assert set(phases.values()) <= {"Running", "Succeeded"}, phases


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
    code = (
        "import socket\n"
        "for host, port in (('registry-database', 5432), ('artifact-store', 7070), ('tracking-server', 80)):\n"
        "    try:\n        socket.create_connection((host, port), timeout=3)\n        print(host, 'open')\n"
        "    except OSError as error:\n        print(host, type(error).__name__)\n"
    )
    said = run_pod(platform, references, code)
    assert "open" not in said
    assert len(re.findall("TimeoutError|ConnectionRefusedError", said)) == 3, said
    let_through = PATIENT.format(host="tracking-server", port=80)
    assert run_pod(platform, references, let_through, uses="tracking-server").strip() == "open"


def test_a_changed_setting_rolls_its_workload_alone_and_no_request_fails(
    platform: ClusterPlatform, references: dict[str, str]
) -> None:
    before = ages(platform)
    with runs_logged(platform, references, seconds=45) as result:
        platform.configure(references, tracking_server={"allowed_hosts": ["mlflow.example"]})
        platform.up()
    assert result["failed"] == {}
    assert len(result["acknowledged"]) > 100
    after = ages(platform)
    assert {name for name in before if before[name] != after.get(name)} == {
        name for name in before if name.startswith("tracking-server-") and "schema" not in name
    }
    assert platform.changes() == {}


def test_what_was_acknowledged_survives_the_databases_death(
    platform: ClusterPlatform, references: dict[str, str], client: MlflowClient
) -> None:
    with runs_logged(platform, references, seconds=40) as result:
        time.sleep(5)
        platform.kubectl("delete", "pod", "registry-database-0", "--grace-period=0", "--force", "--wait=false")
    assert len(result["acknowledged"]) > 50
    kept = set()
    token = None
    while True:
        page = client.search_runs(["0"], max_results=1000, page_token=token)
        kept |= {run.info.run_id for run in page}
        token = page.token
        if not token:
            break
    assert set(result["acknowledged"]) <= kept


def test_a_killed_replica_is_replaced(platform: ClusterPlatform, references: dict[str, str]) -> None:
    victim = platform.kubectl("get", "pods", "-o", "name", "-l", "app.kubernetes.io/name=tracking-server").split()[0]
    platform.kubectl("delete", victim, "--wait=false")
    eventually(lambda: ready(platform, "tracking-server") >= 1, seconds=60)
    eventually(lambda: victim.partition("/")[2] not in ages(platform), seconds=60)
    platform.kubectl("rollout", "status", "deployment/tracking-server", "--timeout=90s")


def ready(platform: ClusterPlatform, name: str) -> int:
    """How many pods of a Deployment are ready."""
    return int(platform.kubectl("get", "deployment", name, "-o", "jsonpath={.status.readyReplicas}") or 0)


def ages(platform: ClusterPlatform) -> dict[str, str]:
    """Every pod, and when it was started."""
    pods = json.loads(platform.kubectl("get", "pods", "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: pod["metadata"]["creationTimestamp"]
        for pod in pods
        if "client" not in pod["metadata"]["name"]
    }


@contextmanager
def runs_logged(
    platform: ClusterPlatform, references: dict[str, str], *, seconds: float
) -> Iterator[dict[str, object]]:
    """Log runs from a pod while the body runs; what came of it is in the result afterwards."""
    name = start_pod(platform, references, CLIENT, [str(seconds), "tracking-server"], uses="tracking-server")
    platform.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: "began" in platform.kubectl("logs", name), seconds=90, what="the client's first answer")
    result: dict[str, object] = {}
    yield result
    result.update(json.loads(finished(platform, name, seconds + 60).splitlines()[-1]))
