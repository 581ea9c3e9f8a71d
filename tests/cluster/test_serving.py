"""Models on a real node: deployed from outside, reached through a real Gateway, and what their pods survive."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from scipy.stats import binom

from tests.support import bike_model as bikes
from tests.support.cluster_models import inside, models, pods, ready, restarts
from tests.support.cluster_platform import SERVING_HOST, ClusterPlatform, said
from tests.support.node import Node, gateway, remains
from tests.support.prediction_load import PredictionLoad
from tests.support.waiting import eventually

Load = Callable[..., PredictionLoad]
Bike = bikes.BikeModel


def test_predictions_are_those_of_the_pipeline(serving: Bike, client: httpx.Client) -> None:
    document = serving.features.to_dict(orient="split", index=False)
    answer = client.post(f"/models/{serving.name}/invocations", json={"dataframe_split": document})
    assert answer.status_code == 200, answer.text
    assert np.array_equal(answer.json()["predictions"], serving.predictions["1"])
    assert answer.headers["x-modelyard-version"] == "1"


def test_the_same_over_grpc(platform: ClusterPlatform, serving: Bike) -> None:
    named = [("grpc.ssl_target_name_override", SERVING_HOST), ("grpc.default_authority", SERVING_HOST)]
    with triton.InferenceServerClient(
        f"{platform.address}:443", ssl=True, root_certificates=str(platform.authority), channel_args=named
    ) as client:
        key = platform.secret("serving-cluster-api-keys", "team")
        header = {"x-modelyard-model": serving.name, "x-api-key": key}
        assert client.is_server_live(headers=header)
        metadata = client.get_model_metadata(serving.name, headers=header)
        assert metadata.name == serving.name
        inputs = []
        for column in metadata.inputs:
            values = serving.features[[column.name]].to_numpy()
            tensor = triton.InferInput(column.name, list(values.shape), column.datatype)
            tensor.set_data_from_numpy(values.astype(object if column.datatype == "BYTES" else values.dtype))
            inputs.append(tensor)
        answer = client.infer(serving.name, inputs, headers=header)
        (output,) = metadata.outputs
        assert np.array_equal(answer.as_numpy(output.name).ravel(), serving.predictions["1"])


def test_clients_without_the_certificates_authority_are_turned_away(serving: Bike) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"https://{SERVING_HOST}/v2/health/ready", trust_env=False)


@pytest.mark.parametrize("header", [{}, {"x-api-key": "guessed"}, {"authorization": "Bearer guessed"}])
@pytest.mark.parametrize("path", ["/v2/models/bike-demand/infer", "/v2/health/ready", "/models/nobody/invocations"])
def test_strangers_are_turned_away(serving: Bike, client: httpx.Client, path: str, header: dict[str, str]) -> None:
    del client.headers["x-api-key"]
    assert client.post(path, headers=header, json={}).status_code == 401


def test_a_key_may_also_come_as_a_bearer_token(serving: Bike, client: httpx.Client) -> None:
    header = {"authorization": f"Bearer {client.headers.pop('x-api-key')}"}
    assert client.get(f"/v2/models/{serving.name}", headers=header).status_code == 200


def test_what_no_model_answers_is_answered_in_words(serving: Bike, client: httpx.Client) -> None:
    assert client.get("/v2/health/ready").json() == {"ready": True}
    unknown = client.post("/v2/models/nobody/infer", json={})
    assert (unknown.status_code, unknown.json()["hint"]) == (404, "deployed models: bike-demand")
    other = client.post(f"/v2/models/{serving.name}/versions/9/infer", json={})
    assert (other.status_code, other.json()["hint"]) == (404, "versions served now: 1")
    assert client.get("/metrics").status_code == 404
    assert client.get("/targets").status_code == 404


def test_a_request_that_is_too_large_is_refused(serving: Bike, client: httpx.Client) -> None:
    answer = client.post(f"/v2/models/{serving.name}/infer", content=b" " * (17 << 20))
    assert answer.status_code == 413


def test_commands_from_outside_tell_what_is_served(platform: ClusterPlatform, serving: Bike) -> None:
    (row,) = json.loads(said(platform.run("models", "--json")))
    assert (row["model"], row["version"], row["serving"], row["ready"], row["state"]) == (
        serving.name,
        1,
        1,
        2,
        "serving",
    )
    history = json.loads(said(platform.run("models", "--history", "--json")))
    assert history[-1]["model"] == serving.name
    report = json.loads(said(platform.run("status", "--json")))
    assert {part["part"]: part["state"] for part in report["parts"]} == {
        "artifact_store": "running",
        "monitoring": "running",
        "registry_database": "running",
        "serving_cluster": "running",
        "tracking_server": "running",
    }


def test_an_unknown_version_is_refused_with_those_there_are(platform: ClusterPlatform, bike: Bike) -> None:
    done = platform.run("deploy", f"{bike.name}/9")
    assert done.returncode == 1
    assert "has no version 9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_version_under_load_fails_no_request(platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    with load() as clients:
        clients.wait_for(100)
        said(platform.run("deploy", f"{serving.name}/2"))
        eventually(lambda: len(pods(platform)) == 2 and all("-v2-" in name for name in pods(platform)), seconds=120)
        clients.wait_for(100, of="2")
    assert clients.failures == []
    assert set(clients.versions) == {"1", "2"}


def test_a_canary_gets_its_share(platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    share, requests = 0.2, 2000
    inside(
        platform,
        f"    found = resolve(platform, '{serving.name}/2')\n"
        "    deployments.set_canary(found.name, found.version, source=found.source, weight=20)",
    )
    eventually(
        lambda: any(row["pool"] == "canary" and row["state"] == "serving" for row in models(platform)), seconds=90
    )
    routers = load()  # each of them has to have heard of it
    eventually(lambda: routers.meets("2"), seconds=60, what="the canary at every router", but=(httpx.TransportError,))
    with load() as clients:
        clients.wait_for(requests, seconds=180)
    total = clients.versions.total()
    least, most = binom.interval(0.999, total, share)
    assert clients.failures == []
    assert least <= clients.versions["2"] <= most, f"{clients.versions['2']} of {total} requests"
    inside(platform, f"    deployments.promote('{serving.name}')")
    eventually(lambda: all("-v2-" in name for name in pods(platform)), seconds=90, what="the old version's end")


def test_a_model_server_that_is_killed_fails_no_request(
    own_node: Node, platform: ClusterPlatform, serving: Bike, load: Load
) -> None:
    with load() as clients:
        clients.wait_for(100)
        before = restarts(platform)
        os.kill(model_servers(own_node)[0], signal.SIGKILL)
        eventually(
            lambda: restarts(platform) == before + 1 and ready(platform) == 2,
            seconds=60,
            what="the killed one's return",
        )
        clients.wait_for(100)
    assert clients.failures == []


def test_a_pod_that_is_deleted_fails_no_request(platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    with load() as clients:
        clients.wait_for(100)
        victim = pods(platform)[0]
        platform.kubectl("delete", "pod", victim, "--wait=false")
        eventually(
            lambda: victim not in pods(platform) and ready(platform) == 2, seconds=90, what="another in its place"
        )
        clients.wait_for(100)
    assert clients.failures == []


def test_the_agent_may_die(platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    with load() as clients:
        clients.wait_for(100)
        platform.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=serving-agent", "--force", "--grace-period=0")
        clients.wait_for(200)
        platform.settle()
        said(platform.run("deploy", f"{serving.name}/2"))
        clients.wait_for(100, of="2")
    assert clients.failures == []
    assert set(clients.versions) == {"1", "2"}


def test_the_kubelet_may_die(own_node: Node, platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    """Its pods go on. When it is back it calls all of them unready until it has asked each (Kubernetes before 1.35)."""
    with load() as clients:
        clients.wait_for(100)
        own_node.kill("kubelet")
        clients.wait_for(300)
    assert clients.failures == []
    own_node.start("kubelet")
    eventually(
        lambda: all(own_node.has_asked(namespace) for namespace in (platform.namespace, gateway.NAMESPACE)),
        seconds=90,
        what="the kubelet's return",
        but=(AssertionError,),  # nor does it answer at first
    )
    platform.settle()
    with load() as clients:
        clients.wait_for(100)
    assert clients.failures == []


def test_the_api_server_may_die(own_node: Node, platform: ClusterPlatform, serving: Bike, load: Load) -> None:
    with load() as clients:
        clients.wait_for(100)
        own_node.kill("kube-apiserver")
        clients.wait_for(300)
        own_node.start("kube-apiserver")
        clients.wait_for(100)
    assert clients.failures == []
    said(platform.run("deploy", f"{serving.name}/2", "--timeout", "120"))


def test_what_others_delete_comes_back(platform: ClusterPlatform, serving: Bike) -> None:
    platform.kubectl("delete", "httproute", "model-bike-demand")
    platform.kubectl("delete", "deployment", "model-bike-demand-v1")
    platform.kubectl("delete", "configmap", "serving-agent-state")
    names = {"model-bike-demand", "model-bike-demand-v1", "serving-agent-state"}
    kinds = "httproutes,deployments,configmaps"

    def there() -> set[str]:
        return {name.partition("/")[2] for name in platform.kubectl("get", kinds, "-o", "name").split()}

    eventually(lambda: names <= there(), what=f"{', '.join(sorted(names))} again")
    platform.settle()
    assert ready(platform) == 2


def test_a_model_server_sees_no_login_of_the_tracking_server(platform: ClusterPlatform, serving: Bike) -> None:
    look = "import os; print([f for d, _, files in os.walk('/run/secrets') for f in files])"
    python = "/opt/modelyard/bin/python"
    printed = platform.kubectl("exec", pods(platform)[0], "-c", "server", "--", python, "-c", look)
    assert printed.strip() == "[]"


def test_an_undeployed_model_leaves_nothing(platform: ClusterPlatform, serving: Bike, client: httpx.Client) -> None:
    said(platform.run("undeploy", serving.name))
    eventually(
        lambda: client.get(f"/v2/models/{serving.name}").status_code == 503,
        what="nobody's answering for it",
        but=(httpx.TransportError,),
    )
    eventually(lambda: pods(platform) == [], seconds=90, what="the end of its pods")
    for kind in ("deployments", "services", "poddisruptionbudgets", "httproutes"):
        assert "model-bike" not in platform.kubectl("get", kind, "-o", "name"), kind


def model_servers(node: Node) -> list[int]:
    """Process ids, as this machine sees them, of a node's model servers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(OSError):
            groups = Path(f"/proc/{process.pid}/cgroup").read_text()
            is_the_nodes = f"/{remains.cgroup(node.addresses.number)}/" in groups
            if is_the_nodes and "modelyard.serving.server" in (process.info["cmdline"] or []):
                found.append(process.pid)
    return sorted(found)
