"""Another platform in the same cluster: what it can't see of the first, and what it is told when things go wrong."""

import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.cluster.test_platform import PATIENT
from tests.support.cluster_platform import ClusterPlatform, a_cluster_platform, said
from tests.support.cluster_pods import run_pod
from tests.support.node import Node
from tests.support.node.identity import Provider
from tests.support.waiting import eventually

ALONE = dict.fromkeys(("edge", "artifact_store", "tracking_server", "serving_cluster", "monitoring"))
HASTY = {"ready_seconds": 20}


@pytest.fixture(scope="module")
def second(platform: ClusterPlatform, references: dict[str, str], provider: Provider) -> Iterator[ClusterPlatform]:
    """A database, and nothing else."""
    with a_cluster_platform(platform.node, references, provider) as second:
        second.configure(references, **ALONE, cluster=HASTY)
        second.up()
        yield second


@pytest.fixture
def usual(second: ClusterPlatform, references: dict[str, str]) -> Iterator[ClusterPlatform]:
    """It is as it was again afterwards, by nothing but another `up`."""
    yield second
    second.configure(references, **ALONE, cluster=HASTY)
    second.up()
    assert second.changes() == {}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    return f"{done.stdout}\n{done.stderr}"


def database_since(platform: ClusterPlatform) -> str:
    return platform.kubectl("get", "pod", "registry-database-0", "-o", "jsonpath={.metadata.creationTimestamp}")


def test_one_platforms_pods_do_not_reach_the_others(
    platform: ClusterPlatform, second: ClusterPlatform, references: dict[str, str]
) -> None:
    database = f"registry-database.{platform.namespace}"
    closed = f"import socket\ntry:\n    socket.create_connection(('{database}', 5432), timeout=5)\n    print('open')\n"
    closed += "except OSError as error:\n    print(type(error).__name__)\n"
    own = PATIENT.format(host="registry-database", port=5432)  # so that its ways are open, where they are to be
    printed = run_pod(second, references, own + closed, uses="registry-database").split()
    assert printed in (["open", "TimeoutError"], ["open", "ConnectionRefusedError"])


@pytest.mark.parametrize("what", ["get secrets", "list pods", "create deployments.apps", "update configmaps"])
def test_one_platforms_agent_has_no_rights_in_the_other(
    platform: ClusterPlatform, second: ClusterPlatform, what: str
) -> None:
    agent = f"--as=system:serviceaccount:{platform.namespace}:serving-agent"
    command = ["kubectl", f"--kubeconfig={platform.node.kubeconfig}", "-n", second.namespace, "auth", "can-i"]
    answer = subprocess.run([*command, *what.split(), agent], capture_output=True, text=True)
    assert answer.stdout.strip() == "no", answer


def test_a_namespace_is_one_stacks_alone(
    platform: ClusterPlatform, usual: ClusterPlatform, references: dict[str, str]
) -> None:
    usual.configure(references, **ALONE, cluster=HASTY | {"namespace": platform.namespace})
    assert f"belongs to the stack {platform.stack!r}" in refused(usual.run("up"))


def test_an_image_that_cannot_be_pulled_is_said_and_left_behind(
    usual: ClusterPlatform, references: dict[str, str]
) -> None:
    image, _, _ = references["postgresql"].partition("@")
    usual.configure(references | {"postgresql": f"{image}@sha256:{'0' * 64}"}, **ALONE, cluster=HASTY)
    told = refused(usual.run("up"))
    assert "in the cluster: pod registry-database-0: " in told
    assert "ImagePull" in told


def test_a_quota_that_is_too_small_is_said_and_left_behind(usual: ClusterPlatform, references: dict[str, str]) -> None:
    usual.kubectl("create", "quota", "small", "--hard=requests.memory=64Mi")
    try:
        usual.configure(references, **ALONE, cluster=HASTY, registry_database={"mlflow_connections": 90})
        told = refused(usual.run("up"))
        assert "in the cluster: StatefulSet registry-database: " in told
        assert "exceeded quota: small" in told
    finally:
        usual.kubectl("delete", "quota", "small")


@pytest.mark.parametrize(("storage", "words"), [("5Gi", "less than"), ("20Gi", "resize")])
def test_a_volume_that_cannot_be_had_is_said_and_the_database_goes_on(
    usual: ClusterPlatform, references: dict[str, str], storage: str, words: str
) -> None:
    before = database_since(usual)
    usual.configure(references, **ALONE, cluster=HASTY, registry_database={"storage": storage})
    assert words in refused(usual.run("up"))
    assert database_since(usual) == before


def test_an_api_server_that_dies_in_the_middle_of_up(
    own_node: Node, usual: ClusterPlatform, references: dict[str, str]
) -> None:
    before = database_since(usual)
    usual.configure(references, **ALONE, cluster={"ready_seconds": 90}, registry_database={"mlflow_connections": 90})
    done: list[subprocess.CompletedProcess[str]] = []
    up = threading.Thread(target=lambda: done.append(usual.run("up")))
    up.start()
    eventually(lambda: database_since(usual) != before, seconds=60, what="the database is being replaced")
    own_node.kill("kube-apiserver")
    own_node.start("kube-apiserver")
    up.join()
    assert done[0].returncode in (0, 1), done[0].stderr
    assert "Traceback" not in done[0].stderr
    said(usual.run("up"))
    assert usual.changes() == {}
