import pytest

from modelyard.serving.kubernetes.front import Known, targets
from modelyard.serving.routes import ModelRoute
from tests.unit.serving.kubernetes.test_pods import pod

KNOWN = Known((ModelRoute("bike", ((3, 100),)), ModelRoute("taxi", (), "version 1 is starting")))


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("/v2/models/bus/infer", {}, 404, "deployed models: bike, taxi"),
        ("/models/bus/invocations", {}, 404, "deployed models: bike, taxi"),
        ("/invocations", {"x-modelyard-model": "bus"}, 404, "deployed models: bike, taxi"),
        ("/v2/models/taxi/infer", {}, 503, "version 1 is starting"),
        ("/v2/models/bike/versions/9/infer", {}, 404, "versions served now: 3"),
        ("/invocations", {}, 400, "say which one"),
        ("/", {}, 404, "there is nothing here"),
        ("/metrics", {}, 404, "there is nothing here"),
    ],
)
def test_clients_are_told_why_no_model_answers(path, headers, status, said):
    code, body = KNOWN.answer(path, headers)
    assert code == status
    assert said in f"{body['error']} {body['hint']}"


def test_ready_means_that_every_model_is():
    assert KNOWN.answer("/v2/health/ready", {}) == (503, {"ready": False})
    assert Known((KNOWN.models[0],)).answer("/v2/health/ready", {}) == (200, {"ready": True})
    assert Known().answer("/v2/health/ready", {}) == (503, {"ready": False})
    assert Known().answer("/v2/health/live", {}) == (200, {"live": True})


def test_an_agent_that_knows_nothing_yet_says_so():
    assert Known().answer("/v2/models/bike/infer", {})[0] == 503
    assert Known(()).answer("/v2/models/bike/infer", {})[1]["error"] == "no model is deployed yet"


def test_prometheus_is_told_of_every_replica_with_the_pool_it_is_in():
    leaving = pod(name="leaving", deletionTimestamp="2026-01-01T00:00:00Z")
    unscheduled = pod(name="unscheduled")
    del unscheduled["status"]["podIP"]
    (target,) = targets([pod(), leaving, unscheduled], {("bike", 3): "canary"}, {"metrics": 8082})
    assert target["targets"] == ["10.0.0.7:8082"]
    assert target["labels"] == {"model": "bike", "version": "3", "pool": "canary", "replica": "model-bike-v3-abc"}


def test_a_replica_of_no_pool_is_on_its_way_out():
    (target,) = targets([pod()], {}, {"metrics": 8082})
    assert target["labels"]["pool"] == "retiring"
