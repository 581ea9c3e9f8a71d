"""Models by KServe, whose controller runs in the node: what holds of the kind `kubernetes` holds of this one too."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.cluster.test_serving import (
    test_a_canary_gets_its_share,
    test_a_model_server_that_is_killed_fails_no_request,
    test_a_new_version_under_load_fails_no_request,
    test_predictions_are_those_of_the_pipeline,
    test_the_same_over_grpc,
)
from tests.support import bike_model as bikes
from tests.support.cluster_models import pods
from tests.support.cluster_platform import ClusterPlatform, said
from tests.support.clusters import Cluster
from tests.support.node import kserve
from tests.support.waiting import eventually

__all__ = [
    "test_a_canary_gets_its_share",
    "test_a_model_server_that_is_killed_fails_no_request",
    "test_a_new_version_under_load_fails_no_request",
    "test_predictions_are_those_of_the_pipeline",
    "test_the_same_over_grpc",
]
KSERVE = {"kind": "kserve", "api_keys": ["team"]}


@pytest.fixture(scope="module", autouse=True)
def without_kserve(node: Cluster, platform: ClusterPlatform, references: dict[str, str]) -> Iterator[str]:
    """What `up` said to a cluster without it; then it is there, and the platform's models are run by it."""
    platform.configure(references, serving_cluster=KSERVE)
    refused = platform.run("up")
    kserve.install(node)
    platform.up()
    yield refused.stdout + refused.stderr
    platform.configure(references)
    platform.up()


def test_a_cluster_without_it_is_told_what_to_install(without_kserve: str) -> None:
    assert "serving.kserve.io" in without_kserve
    assert "install KServe: https://kserve.github.io" in without_kserve


def test_a_version_is_an_inference_service(platform: ClusterPlatform, serving: bikes.BikeModel) -> None:
    eventually(lambda: conditions(platform, "model-bike-demand-v1").get("Ready") == "True", seconds=60)
    found = json.loads(platform.kubectl("get", "inferenceservice", "model-bike-demand-v1", "-o", "json"))
    assert found["status"]["servingRuntimeName"] == "modelyard-model-server"
    deployment = json.loads(platform.kubectl("get", "deployment", "model-bike-demand-v1-predictor", "-o", "json"))
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert "@sha256:" in container["image"]


def test_more_replicas_replace_none_that_there_are(platform: ClusterPlatform, serving: bikes.BikeModel) -> None:
    before = set(pods(platform))
    said(platform.run("deploy", f"{serving.name}/1", "--replicas", "3"))
    eventually(lambda: len(pods(platform)) == 3, seconds=60)
    assert set(pods(platform)) > before


def test_an_undeployed_model_leaves_nothing(
    platform: ClusterPlatform, serving: bikes.BikeModel, client: httpx.Client
) -> None:
    said(platform.run("undeploy", serving.name))
    eventually(lambda: pods(platform) == [], seconds=90, what="the end of its pods")
    for kind in ("inferenceservices", "deployments", "services", "poddisruptionbudgets", "httproutes"):
        assert "model-bike" not in platform.kubectl("get", kind, "-o", "name"), kind


def conditions(platform: ClusterPlatform, name: str) -> dict[str, str]:
    """Of an InferenceService, by type."""
    found = json.loads(platform.kubectl("get", "inferenceservice", name, "-o", "json"))
    return {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}
