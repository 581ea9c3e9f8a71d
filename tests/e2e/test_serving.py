"""Serving for real: Envoy, the agent, model servers, and what happens when any of them dies."""

import json
import os
import signal
import time
from statistics import NormalDist

import httpx
import mlflow
import numpy as np
import psutil
import pytest
from sklearn.linear_model import LinearRegression

from modelyard.registry.mlflow import MlflowRegistry
from modelyard.serving.operations import deployments_of
from tests.support.local_platform import succeeded
from tests.support.prediction_load import PredictionLoad, v2_request

TOLERANCE = 1e-9
BACK_SECONDS = 30


def wait_until(condition, seconds=BACK_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def url(platform):
    return platform.descriptor.serving_cluster.url


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(autouse=True, scope="module")
def nothing_deployed(platform):
    for model in json.loads(succeeded(platform.run("models", "--json")).stdout):
        platform.run("undeploy", model["model"])
    wait_until(lambda: not replicas(platform))


@pytest.fixture(scope="module")
def bike_load(url, bike_model):
    body = v2_request(bike_model.features.head(3))
    return lambda **options: PredictionLoad(f"{url}/v2/models/{bike_model.name}/infer", body, **options)


@pytest.fixture
def serving(platform, bike_model):
    """The champion, with one replica, and nothing left of what was served before."""
    with deployments_of(platform.descriptor) as deployments:
        if any(pool.key == (bike_model.name, "canary") for pool in deployments.desired()):
            deployments.remove_canary(bike_model.name)
    succeeded(platform.run("deploy", f"{bike_model.name}@champion", "--replicas", "1"))
    wait_until(lambda: len([name for name in replicas(platform) if bike_model.name in name]) == 1)
    return bike_model


@pytest.fixture
def deployments(platform):
    with deployments_of(platform.descriptor) as deployments:
        yield deployments


def replicas(platform):
    return [name for name in platform.pids() if name.startswith("model-")]


def serves(client, name):
    def ask():
        try:
            return client.get(f"/v2/models/{name}/ready").status_code == 200
        except httpx.HTTPError:
            return False

    return ask


def canary_serves(deployments):
    return any(seen.pool == "canary" and seen.state == "serving" for seen in deployments.observed())


def answers(url):
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def kill(platform, name):
    os.kill(platform.pids()[name], signal.SIGKILL)


def source(platform, name, version):
    with MlflowRegistry(platform.descriptor.tracking_server.url) as registry:
        return registry.resolve(f"{name}/{version}").source


def artifact_url(platform, name, version, file):
    path = source(platform, name, version).removeprefix("mlflow-artifacts:/")
    return f"{platform.descriptor.tracking_server.url}/api/2.0/mlflow-artifacts/artifacts/{path}/{file}"


def register_line(platform, name):
    """A registered model that doubles its input; returns the version."""
    mlflow.set_tracking_uri(platform.descriptor.tracking_server.url)
    with mlflow.start_run():
        model = LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])
        logged = mlflow.sklearn.log_model(model, name="model", registered_model_name=name)
    return str(logged.registered_model_version)


def test_before_anything_is_deployed_the_answer_says_what_to_do(client):
    answer = client.post("/invocations", json={})
    assert answer.status_code == 503
    assert "modelyard deploy" in answer.json()["hint"]


def test_v2_predictions_equal_the_pipelines_own(client, serving):
    answer = client.post(f"/v2/models/{serving.name}/infer", json=v2_request(serving.features))
    (output,) = answer.raise_for_status().json()["outputs"]
    np.testing.assert_allclose(output["data"], serving.predictions["1"], rtol=TOLERANCE)
    assert answer.headers["x-modelyard-version"] == "1"


@pytest.mark.parametrize("path", ["/invocations", "/models/bike-demand/invocations"])
def test_invocations_equal_the_pipelines_own(client, serving, path):
    body = {"dataframe_split": json.loads(serving.features.to_json(orient="split", index=False, double_precision=15))}
    predictions = client.post(path, json=body).raise_for_status().json()["predictions"]
    np.testing.assert_allclose(predictions, serving.predictions["1"], rtol=TOLERANCE)


def test_models_are_served_side_by_side(platform, client, serving):
    register_line(platform, "double trouble")
    succeeded(platform.run("deploy", "double trouble"))
    body = {"inputs": [[21.0]]}
    answer = client.post("/invocations", json=body, headers={"x-modelyard-model": "double trouble"})
    assert answer.json()["predictions"] == pytest.approx([42.0])
    assert client.get(f"/v2/models/{serving.name}/ready").status_code == 200
    assert client.post("/invocations", json=body).status_code == 400
    succeeded(platform.run("undeploy", "double trouble"))
    wait_until(lambda: client.get("/v2/models/double trouble/ready").status_code == 404)


def test_a_new_version_replaces_the_old_one_without_a_failed_request(platform, serving, bike_load):
    with bike_load() as load:
        load.wait_for(50)
        succeeded(platform.run("deploy", f"{serving.name}/2"))
        load.wait_for(200)
        wait_until(lambda: replicas(platform) == [f"model-{serving.name}-v2-1"])
        load.wait_for(50)
    assert load.failures == []
    assert set(load.versions) == {"1", "2"}


def test_scaling_up_and_down_costs_no_request(platform, serving, bike_load):
    with bike_load() as load:
        succeeded(platform.run("deploy", serving.name, "--replicas", "2"))
        load.wait_for(50)
        succeeded(platform.run("deploy", serving.name, "--replicas", "1"))
        wait_until(lambda: len(replicas(platform)) == 1)
        load.wait_for(50)
    assert load.failures == []


def test_weights_split_the_requests_and_changing_them_costs_none(platform, serving, bike_load, deployments):
    canary = source(platform, serving.name, 2)
    with bike_load() as load:
        deployments.set_canary(serving.name, 2, source=canary, weight=30)
        wait_until(lambda: canary_serves(deployments))
        wait_until(lambda: load.versions["2"] > 0)
        for weight in (10, 0, 100, 50, 30):
            deployments.set_weight(serving.name, weight)
            load.wait_for(40)
    assert load.failures == []
    with bike_load() as load:
        load.wait_for(1000)
    deployments.remove_canary(serving.name)
    asked = load.versions.total()
    margin = NormalDist().inv_cdf(0.9995) * (asked * 0.3 * 0.7) ** 0.5
    assert abs(load.versions["2"] - 0.3 * asked) <= margin + 1
    assert load.failures == []


def test_a_promoted_canary_goes_on_with_its_replica(platform, serving, bike_load, deployments):
    deployments.set_canary(serving.name, 2, source=source(platform, serving.name, 2), weight=50)
    wait_until(lambda: canary_serves(deployments))
    canary = platform.pids()[f"model-{serving.name}-v2-1"]
    with bike_load() as load:
        deployments.promote(serving.name)
        wait_until(lambda: replicas(platform) == [f"model-{serving.name}-v2-1"])
        load.wait_for(50)
    assert platform.pids()[f"model-{serving.name}-v2-1"] == canary
    assert load.failures == []


def test_a_killed_replica_costs_no_request_while_another_answers_and_comes_back(platform, serving, bike_load):
    succeeded(platform.run("deploy", serving.name, "--replicas", "2"))
    victim = replicas(platform)[0]
    with bike_load() as load:
        load.wait_for(50)
        before = platform.pids()[victim]
        kill(platform, victim)
        load.wait_for(100)
        wait_until(lambda: platform.pids().get(victim) not in (before, None))
        wait_until(lambda: json.loads(platform.run("models", "--json").stdout)[0]["ready"] == 2)
        load.wait_for(50)
    assert load.failures == []


def test_the_only_replica_comes_back_when_it_was_killed(platform, client, serving):
    kill(platform, replicas(platform)[0])
    wait_until(lambda: client.get(f"/v2/models/{serving.name}/ready").status_code == 503)
    wait_until(serves(client, serving.name))


def test_a_killed_agent_costs_no_request_and_its_successor_takes_the_replicas_over(platform, serving, bike_load):
    before = platform.pids()
    agent = f"{platform.descriptor.serving_cluster.agent_url}/health"
    with bike_load() as load:
        load.wait_for(50)
        kill(platform, "serving-agent")
        wait_until(lambda: platform.pids()["serving-agent"] not in (before["serving-agent"], None))
        wait_until(lambda: _status(agent) == 200)
        load.wait_for(50)
    after = platform.pids()
    assert {name: after[name] for name in replicas(platform)} == {
        name: pid for name, pid in before.items() if name.startswith("model-")
    }
    assert load.failures == []


def _status(url):
    try:
        return httpx.get(url, trust_env=False).status_code
    except httpx.HTTPError:
        return None


def test_a_deployment_goes_on_when_the_agent_is_killed_in_the_middle(platform, serving, bike_load, deployments):
    with bike_load() as load:
        deployments.deploy(serving.name, 2, source=source(platform, serving.name, 2))
        wait_until(lambda: len(replicas(platform)) == 2)
        kill(platform, "serving-agent")
        wait_until(lambda: load.versions["2"] > 20, seconds=60)
    assert load.failures == []


def test_a_killed_router_comes_back(platform, client, serving):
    kill(platform, "envoy")
    wait_until(serves(client, serving.name))


def test_replicas_survive_another_up(platform, serving):
    before = {name: platform.pids()[name] for name in replicas(platform)}
    succeeded(platform.run("up", "--stack", platform.stack))
    assert {name: platform.pids()[name] for name in replicas(platform)} == before


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("bike-demnad", "did you mean 'bike-demand'?"),
        ("bike-demand@chmapion", "did you mean 'champion'?"),
        ("bike-demand/99", "its versions: "),
    ],
)
def test_deploying_what_does_not_exist_is_refused_with_what_does(platform, serving, reference, said):
    done = platform.run("deploy", reference)
    assert done.returncode == 1
    assert said in done.stderr


def test_deploying_what_names_no_version_is_wrong_use(platform):
    assert platform.run("deploy", "bike-demand/x").returncode == 2


def test_a_model_whose_files_are_missing_is_refused(platform):
    version = register_line(platform, "line")
    httpx.delete(artifact_url(platform, "line", version, "MLmodel"), trust_env=False).raise_for_status()
    done = platform.run("deploy", f"line/{version}")
    assert done.returncode == 1
    assert "no MLmodel" in done.stderr


def test_a_model_without_its_weights_is_refused(platform):
    version = register_line(platform, "line")
    httpx.delete(artifact_url(platform, "line", version, "model.skops"), trust_env=False).raise_for_status()
    done = platform.run("deploy", f"line/{version}")
    assert done.returncode == 1
    assert "names model.skops" in done.stderr


def test_when_a_version_fails_to_load_the_old_one_keeps_serving(platform, bike_load, client):
    good, bad = register_line(platform, "loads"), register_line(platform, "loads")
    garbage = artifact_url(platform, "loads", bad, "model.skops")
    httpx.put(garbage, content=b"not a model", trust_env=False).raise_for_status()
    succeeded(platform.run("deploy", f"loads/{good}"))
    with PredictionLoad(f"{client.base_url}/models/loads/invocations", {"inputs": [[1.0]]}, clients=2) as load:
        done = platform.run("deploy", f"loads/{bad}")
        load.wait_for(20)
    assert done.returncode == 1
    assert "is said to be a skops file and is something that starts with b'not a " in done.stderr
    assert f"version {good} keeps serving" in done.stderr
    assert load.failures == []
    assert set(load.versions) == {good}
    wait_until(lambda: f"model-loads-v{bad}-1" not in replicas(platform))
    agent, before = f"{platform.descriptor.serving_cluster.agent_url}/health", platform.pids()["serving-agent"]
    kill(platform, "serving-agent")
    wait_until(lambda: platform.pids()["serving-agent"] not in (None, before) and answers(agent))
    assert f"model-loads-v{bad}-1" not in replicas(platform)
    (row,) = (row for row in json.loads(platform.run("models", "--json").stdout) if row["model"] == "loads")
    assert (row["state"], row["serving"]) == ("failed", int(good))
    succeeded(platform.run("undeploy", "loads"))


def test_damaged_files_are_not_served_and_another_deploy_gets_them_anew(platform, client):
    version = register_line(platform, "damaged")
    succeeded(platform.run("deploy", f"damaged/{version}"))
    (file,) = (platform.folder / "models" / "damaged").glob(f"{version}-*/model.skops")
    file.write_bytes(b"damaged")
    kill(platform, f"model-damaged-v{version}-1")
    wait_until(lambda: client.post("/models/damaged/invocations", json={"inputs": [[1.0]]}).status_code == 503)
    succeeded(platform.run("deploy", f"damaged/{version}"))
    wait_until(lambda: client.post("/models/damaged/invocations", json={"inputs": [[1.0]]}).status_code == 200)
    succeeded(platform.run("undeploy", "damaged"))


def test_while_the_database_hangs_models_are_served_also_by_a_new_agent(platform, client, serving, bike_load):
    agent = f"{platform.descriptor.serving_cluster.agent_url}/health"
    postgres = platform.pids()["postgres"]
    os.kill(postgres, signal.SIGSTOP)
    try:
        with bike_load() as load:
            kill(platform, "serving-agent")
            wait_until(lambda: _status(agent) == 200)
            load.wait_for(100)
            done = platform.run("models")
    finally:
        os.kill(postgres, signal.SIGCONT)
    assert done.returncode == 3
    assert "registry database" in done.stderr
    assert load.failures == []


def test_what_was_served_when_can_be_asked(platform, serving):
    entries = json.loads(succeeded(platform.run("models", serving.name, "--history", "--json")).stdout)
    assert entries[0]["version"] == 1
    assert {entry["model"] for entry in entries} == {serving.name}
    now = json.loads(succeeded(platform.run("models", "--at", time.strftime("%Y-%m-%dT%H:%M:%S"), "--json")).stdout)
    assert serving.name in {entry["model"] for entry in now}


def test_prometheus_is_told_of_every_replica(platform, serving):
    port = platform.supervisor.spec(replicas(platform)[0]).ports[-1]
    assert httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 200
    listed = [path for path in (platform.folder).rglob("targets.json") if f"127.0.0.1:{port}" in path.read_text()]
    assert listed


def test_undeploying_leaves_no_replica(platform, client, serving):
    succeeded(platform.run("undeploy", serving.name))
    wait_until(lambda: not replicas(platform))
    wait_until(lambda: client.post("/invocations", json={}).status_code == 503)
    assert platform.run("undeploy", serving.name).returncode == 1


@pytest.mark.parametrize("way", ["up", "start"])
def test_what_is_deployed_is_served_again_after_every_process_died_at_once(platform, serving, client, way):
    os.kill(psutil.Process(platform.pids()["envoy"]).ppid(), signal.SIGKILL)
    wait_until(lambda: not platform.supervisor.is_running())
    succeeded(platform.run(way, "--stack", platform.stack))
    wait_until(lambda: serves(client, serving.name))


def test_a_changed_setting_of_the_agent_fails_no_request(platform, serving, bike_load):
    before = platform.settings()["modelyard:serving_cluster"]
    with bike_load() as load:
        platform.change(serving_cluster=before | {"drain_seconds": 61})
        succeeded(platform.run("up", "--stack", platform.stack))
    platform.change(serving_cluster=before)
    assert load.failures == []
