"""One Kubernetes node for all tests here, the project's images in its registry, and one platform."""

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import mlflow
import pytest

from imaging import build, catalog
from tests.support import bike_model as bikes
from tests.support import clusters
from tests.support import node as nodes
from tests.support.cluster_models import inside, pods
from tests.support.cluster_platform import (
    DOMAIN,
    SERVING_HOST,
    TRACKING_HOST,
    ClusterPlatform,
    a_cluster_platform,
    said,
)
from tests.support.clusters import Cluster
from tests.support.node import gateway, kserve, prometheus_operator, receiver
from tests.support.node.identity import Provider
from tests.support.prediction_load import PredictionLoad, v2_request
from tests.support.selection import leave_out
from tests.support.waiting import eventually
from toolbox import cache

IMAGES = tuple(catalog.IMAGES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    node = None if clusters.is_given() else nodes.missing()
    for place, what, reason in (
        ("", "a platform in a cluster", node or gateway.missing()),
        ("test_kserve.py", "KServe", kserve.missing()),
        ("test_monitoring.py::TestByAnOperator", "the Prometheus operator", prometheus_operator.missing()),
    ):
        start = f"tests/cluster/{place}"
        leave_out(config, items, lambda item, start=start: item.nodeid.startswith(start), what, reason)
    somebodys = f"the one of {clusters.KUBECONFIG} is somebody's" if clusters.is_given() else None
    leave_out(config, items, lambda item: "own_node" in _fixtures(item), "what a cluster's servers do", somebodys)


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of all tests: somebody's, if there is one for them, or one of their own."""
    if clusters.is_given():
        yield clusters.given(tmp_path_factory.mktemp("cluster"))
        return
    with nodes.started(cache.root() / "test-registry") as started:
        yield started


@pytest.fixture(scope="session")
def own_node(node: nodes.Node) -> nodes.Node:
    """The cluster, for tests that end its servers or look at its disks."""
    return node


@pytest.fixture(scope="session")
def references(node: Cluster) -> dict[str, str]:
    """The project's images, by digest, in the node's registry."""
    made = build.own(IMAGES, push=f"{node.registry}/modelyard")
    return {name: image.reference for name, image in made.items()}


@pytest.fixture(scope="session")
def provider(node: Cluster) -> Provider:
    """Where people sign in; not started yet."""
    return Provider(node.folder / "identity")


@pytest.fixture(scope="session")
def gateways(node: Cluster, provider: Provider) -> None:
    """A controller for Gateways in the node, whose routers trust the provider."""
    gateway.install(node, provider.authority)


@pytest.fixture(scope="session")
def platform(
    node: Cluster, gateways: None, references: dict[str, str], provider: Provider
) -> Iterator[ClusterPlatform]:
    """A platform in the cluster, made as a person makes it; unprotected. Its alerts are received."""
    receiver.start(node, references["agent"])
    with a_cluster_platform(node, references, provider) as platform:
        platform.up()
        yield platform


@pytest.fixture(scope="session")
def names_are_found(platform: ClusterPlatform, node: Cluster) -> Iterator[None]:
    """Hosts of the platform's domain lead to its Gateway, as a name server would have it; Services to themselves."""
    usual, address = socket.getaddrinfo, platform.address

    def lookup(host: Any, *rest: Any, **more: Any) -> Any:
        name = str(host)
        if name.endswith(f".{DOMAIN}"):
            host = address
        elif name.endswith(".svc.cluster.local"):
            service, namespace = name.split(".")[:2]
            host = node.kubectl("-n", namespace, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}")
        return usual(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookup)
        yield


@pytest.fixture(scope="session")
def open_client(platform: ClusterPlatform, names_are_found: None) -> Callable[[], httpx.Client]:
    """Makes clients that trust the platform's certificate and no other, and have a key."""
    trust = ssl.create_default_context(cafile=str(platform.authority))
    key = {"x-api-key": platform.secret("serving-cluster-api-keys", "team")}
    url = f"https://{SERVING_HOST}"
    return lambda: httpx.Client(base_url=url, verify=trust, headers=key, trust_env=False, timeout=30)


@pytest.fixture
def client(open_client: Callable[[], httpx.Client]) -> Iterator[httpx.Client]:
    with open_client() as client:
        yield client


@pytest.fixture(scope="session")
def bike(platform: ClusterPlatform, names_are_found: None) -> bikes.BikeModel:
    """Registered over HTTPS, by somebody who logs in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", platform.secret("tracking-server-admin", "password"))
        patch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(platform.authority))
        mlflow.set_tracking_uri(f"https://{TRACKING_HOST}")
        return bikes.registered(bikes.example())


@pytest.fixture
def serving(platform: ClusterPlatform, bike: bikes.BikeModel) -> bikes.BikeModel:
    """Its first version, with two replicas, and nothing of others; whatever was done to the cluster before is over."""
    platform.settle()
    inside(
        platform,
        "    if any(p.pool == 'canary' for p in deployments.desired()): deployments.remove_canary('bike-demand')",
    )
    said(platform.run("deploy", f"{bike.name}/1", "--replicas", "2"))
    eventually(lambda: len(pods(platform)) == 2, seconds=90, what="two replicas and no more")
    platform.settle()
    return bike


@pytest.fixture
def load(bike: bikes.BikeModel, open_client: Callable[[], httpx.Client]) -> Callable[..., PredictionLoad]:
    body = v2_request(bike.features.head(3))
    path = f"/v2/models/{bike.name}/infer"
    return lambda **options: PredictionLoad(path, body, open_client=open_client, **options)
