"""Another platform in the same cluster: what it can't see of the first, and what it is told when things go wrong."""

import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.cluster_platform import ClusterPlatform, a_cluster_platform, said
from tests.support.cluster_pods import CLOSED, met, uid
from tests.support.node import Node
from tests.support.node.identity import Provider
from tests.support.waiting import eventually

ALONE = dict.fromkeys(("edge", "artifact_store", "tracking_server", "serving_cluster", "monitoring"))
HASTY = {"ready_seconds": 20}  # where an `up` is to fail
DATABASE = "registry-database-0"


@pytest.fixture(scope="module")
def second(platform: ClusterPlatform, references: dict[str, str], provider: Provider) -> Iterator[ClusterPlatform]:
    """A database, and nothing else."""
    with a_cluster_platform(platform.node, references, provider) as second:
        second.configure(references, **ALONE)
        second.up()
        yield second


@pytest.fixture
def usual(second: ClusterPlatform, references: dict[str, str]) -> Iterator[ClusterPlatform]:
    """It is as it was again afterwards, by nothing but another `up`."""
    yield second
    second.configure(references, **ALONE)
    second.up()
    assert second.changes() == {}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    return f"{done.stdout}\n{done.stderr}"


def test_one_platforms_pods_do_not_reach_the_others(
    platform: ClusterPlatform, second: ClusterPlatform, references: dict[str, str]
) -> None:
    own, other = ("registry-database", 5432), (f"registry-database.{platform.namespace}", 5432)
    found = met(second, references, [own, other], uses="registry-database", once_open=own)
    assert found[0] == "open"
    assert found[1] in CLOSED


def test_one_platforms_metrics_are_not_the_others(platform: ClusterPlatform, second: ClusterPlatform) -> None:
    with (
        platform.forwarded("prometheus", 9090) as address,
        httpx.Client(base_url=f"http://{address}/api/v1/", timeout=30) as api,
    ):

        def namespaces() -> list[str]:
            found: list[str] = api.get("label/namespace/values").json()["data"]
            return found

        eventually(lambda: platform.namespace in namespaces(), seconds=60, what="a metric of its own namespace")
        assert second.namespace not in namespaces()
        targets = api.get("targets")
    assert platform.namespace in targets.text
    assert second.namespace not in targets.text


@pytest.mark.parametrize("what", ["get secrets", "list pods", "create deployments.apps", "update configmaps"])
def test_one_platforms_agent_has_no_rights_in_the_other(
    platform: ClusterPlatform, second: ClusterPlatform, what: str
) -> None:
    agent = f"--as=system:serviceaccount:{platform.namespace}:serving-agent"
    command = ["kubectl", f"--kubeconfig={platform.node.kubeconfig}", "-n", second.namespace, "auth", "can-i"]
    answer = subprocess.run([*command, *what.split(), agent], capture_output=True, text=True)
    assert answer.stdout.strip() == "no", answer


def test_a_namespace_is_one_stacks_alone(
    platform: ClusterPlatform, references: dict[str, str], provider: Provider
) -> None:
    with a_cluster_platform(platform.node, references, provider) as third:
        third.configure(references, **ALONE, cluster={"namespace": platform.namespace})
        assert f"belongs to the stack {platform.stack!r}" in refused(third.run("up"))


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


def test_a_volume_that_cannot_be_had_is_said_and_the_database_goes_on(
    usual: ClusterPlatform, references: dict[str, str]
) -> None:
    before = uid(usual, DATABASE)
    for storage, words in (("5Gi", "less than"), ("20Gi", "resize")):
        usual.configure(references, **ALONE, cluster=HASTY, registry_database={"storage": storage})
        assert words in refused(usual.run("up"))
    assert uid(usual, DATABASE) == before


def test_an_api_server_that_dies_in_the_middle_of_up(
    own_node: Node, second: ClusterPlatform, references: dict[str, str]
) -> None:
    """The last test here: the database stays as it is then."""
    before = uid(second, DATABASE)
    second.configure(references, **ALONE, cluster={"ready_seconds": 90}, registry_database={"mlflow_connections": 90})
    done: list[subprocess.CompletedProcess[str]] = []
    up = threading.Thread(target=lambda: done.append(second.run("up")))
    up.start()
    try:
        eventually(lambda: uid(second, DATABASE) != before, seconds=60, what="the database is being replaced")
        own_node.kill("kube-apiserver")
        own_node.start("kube-apiserver")
    finally:
        up.join()
    assert done[0].returncode in (0, 1), done[0].stderr
    assert "Traceback" not in done[0].stderr
    said(second.run("up"))
    assert second.changes() == {}
