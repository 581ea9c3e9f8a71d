"""Which pod a command is run in, on a real API server: there is no node, so a pod is ready when a test says so."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from httpx2.websockets import WebSocketDisconnect
from lightkube import Client

from modelyard.descriptor import Cluster, Descriptor
from modelyard.errors import ModelyardError, Unreachable
from modelyard.kube import remote
from tests.support.api_server import ApiServer
from tests.support.waiting import eventually

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def platform(api_server: ApiServer, tmp_path: Path) -> Descriptor:
    cluster = Cluster(kubeconfig=api_server.kubeconfig, context="modelyard-test", namespace="default")
    return Descriptor(stack="test", protect=False, folder=tmp_path, cluster=cluster)


@pytest.fixture
def client(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api_server.client() as client:
        yield client


@pytest.fixture
def agent(client: httpx.Client) -> Iterator[Callable[[], None]]:
    """A pod of the agent that isn't ready; called, it becomes so."""
    labels = {"app.kubernetes.io/name": "serving-agent"}
    spec = {"containers": [{"name": "agent", "image": "nowhere"}], "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "labels": labels}, "spec": spec}
    client.post(PODS, json=pod).raise_for_status()

    def become_ready() -> None:
        status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        headers = {"content-type": "application/merge-patch+json"}
        client.patch(f"{PODS}/agent/status", json=status, headers=headers).raise_for_status()

    yield become_ready
    client.delete(f"{PODS}/agent").raise_for_status()
    eventually(lambda: client.get(f"{PODS}/agent").status_code == 404, what="the pod's end")


@pytest.fixture
def as_a_reader(platform: Descriptor, client: httpx.Client, tmp_path: Path) -> Descriptor:
    """The platform, as somebody who may look at pods and no more."""
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": "reader"}, "subjects": [account], "roleRef": role}
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    client.post(bindings, json=binding)
    made = client.post("/api/v1/namespaces/default/serviceaccounts/default/token", json={"spec": {}})
    kubeconfig = yaml.safe_load(platform.cluster.kubeconfig.read_text())
    kubeconfig["users"] = [{"name": "admin", "user": {"token": made.json()["status"]["token"]}}]
    file = tmp_path / "reader.yaml"
    file.write_text(yaml.safe_dump(kubeconfig))
    return platform.model_copy(update={"cluster": platform.cluster.model_copy(update={"kubeconfig": file})})


def test_no_pod_at_all_is_said_at_once(platform: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 600)
    with pytest.raises(Unreachable, match="no pod of serving-agent is ready in the namespace default"):
        remote.run(platform, "serving-agent", ["models"])


def test_a_pod_that_never_gets_ready_is_not_waited_for_for_ever(
    platform: Descriptor, agent: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(Unreachable, match="no pod of serving-agent is ready"):
        remote.run(platform, "serving-agent", ["models"])


def test_a_pod_that_is_just_not_ready_gets_some_time(platform: Descriptor, agent: Callable[[], None]) -> None:
    soon = threading.Timer(1, agent)
    soon.start()
    with pytest.raises(ModelyardError, match="doesn't run a command in the pod agent"):
        remote.run(platform, "serving-agent", ["models"])
    soon.join()


def test_who_may_not_run_commands_is_told(
    platform: Descriptor, client: httpx.Client, agent: Callable[[], None], as_a_reader: Descriptor
) -> None:
    agent()
    with pytest.raises(ModelyardError, match="HTTP 403") as refused:
        remote.run(as_a_reader, "serving-agent", ["models"])
    assert refused.value.fix == "you need the right to create pods/exec in the namespace default"


def test_a_pod_that_ends_while_it_works_is_said(
    platform: Descriptor, agent: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise WebSocketDisconnect(1006, "going away")

    agent()
    monkeypatch.setattr(Client, "exec", lost)
    with pytest.raises(Unreachable, match="the pod agent was gone before the command had ended"):
        remote.run(platform, "serving-agent", ["models"])
