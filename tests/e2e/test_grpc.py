"""V2 over gRPC, by a client that others wrote, through the router of a real platform."""

import json
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from modelyard.registry.mlflow import MlflowRegistry
from modelyard.serving.operations import deployments_of
from tests.support.local_platform import succeeded

TOLERANCE = 1e-9
SECONDS = 60


@pytest.fixture(scope="module")
def bike(platform, bike_model):
    """The champion is deployed and answers; nothing else is."""
    for model in json.loads(succeeded(platform.run("models", "--json")).stdout):
        platform.run("undeploy", model["model"])
    succeeded(platform.run("deploy", f"{bike_model.name}@champion", "--replicas", "1"))
    yield bike_model
    platform.run("undeploy", bike_model.name)


@pytest.fixture
def client(platform):
    with triton.InferenceServerClient(httpx.URL(platform.descriptor.serving_cluster.url).netloc.decode()) as client:
        yield client


def inputs_of(features):
    found = []
    for name in features:
        numbers = features[name].dtype.kind == "f"
        values = features[name].to_numpy(dtype=np.float64 if numbers else object)
        one = triton.InferInput(name, [len(values)], "FP64" if numbers else "BYTES")
        one.set_data_from_numpy(values)
        found.append(one)
    return found


def predicted(client, bike, features, **more):
    answer = client.infer(bike.name, inputs_of(features), **more)
    name = answer.get_response().outputs[0].name
    return answer.get_response().model_version, answer.as_numpy(name).ravel()


def test_predictions_are_those_of_the_model(client, bike):
    version, values = predicted(client, bike, bike.features)
    np.testing.assert_allclose(values, bike.predictions[version], rtol=TOLERANCE)


def test_the_server_and_the_only_model_say_what_they_are(client, bike):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "modelyard"
    assert client.is_model_ready(bike.name)
    assert client.get_model_metadata(bike.name).name == bike.name


def test_metadata_may_name_the_model(client, bike):
    assert client.is_model_ready(bike.name, headers={"x-modelyard-model": bike.name})
    with pytest.raises(InferenceServerException) as error:
        client.is_model_ready(bike.name, headers={"x-modelyard-model": "nothing"})
    assert error.value.status() == "StatusCode.NOT_FOUND"
    assert f"deployed models: {bike.name}" in error.value.message()


def test_a_wrong_question_is_an_invalid_argument(client, bike):
    with pytest.raises(InferenceServerException) as error:
        predicted(client, bike, bike.features.drop(columns="hr"))
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "hr" in error.value.message()


def test_a_canary_gets_its_share_and_a_new_version_fails_no_call(platform, client, bike):
    seen, wrong, stop = Counter(), [], threading.Event()

    def ask():
        target = httpx.URL(platform.descriptor.serving_cluster.url).netloc.decode()
        with triton.InferenceServerClient(target) as mine:
            while not stop.is_set():
                try:
                    seen[predicted(mine, bike, bike.features.head(3))[0]] += 1
                except InferenceServerException as error:
                    wrong.append(str(error))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        succeeded(platform.run("deploy", f"{bike.name}/2"))
        wait_until(lambda: seen["2"] > 20)
        seen.clear()
        with (
            deployments_of(platform.descriptor) as deployments,
            MlflowRegistry(platform.descriptor.tracking_server.url) as registry,
        ):
            source = registry.resolve(f"{bike.name}/1").source
            deployments.set_canary(bike.name, 1, source=source, weight=50)
            wait_until(lambda: seen["1"] > 20 and seen["2"] > 20)
            deployments.remove_canary(bike.name)
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert wrong == []


def wait_until(condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.05)
