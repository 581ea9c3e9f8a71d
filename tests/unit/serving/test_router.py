"""A real Envoy in front of stand-ins for replicas."""

import threading
import time
from collections import Counter
from http.client import HTTPConnection

import httpx
import pytest

from modelyard.processes.ports import any_free_port
from modelyard.serving.clusters import Endpoint, VersionEndpoints
from modelyard.serving.replicas import free_ports
from modelyard.serving.routes import ModelRoute
from tests.unit.serving.conftest import Upstream


@pytest.fixture(scope="module")
def client(router_settings):
    with httpx.Client(base_url=f"http://127.0.0.1:{router_settings.port}", trust_env=False) as client:
        yield client


@pytest.fixture
def two_models(router, upstreams):
    bike, line = upstreams
    router.publish(
        [
            VersionEndpoints("bike", 1, (Endpoint(bike.port),)),
            VersionEndpoints("two words", 7, (Endpoint(line.port),)),
        ],
        [ModelRoute("bike", ((1, 100),)), ModelRoute("two words", ((7, 100),))],
    )
    return bike, line


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/bike/infer", "/models/bike/invocations"])
def test_with_nothing_deployed_the_answer_is_503_and_what_to_do(router, client, path):
    router.publish((), ())
    answer = client.post(path, json={})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/json"
    assert "modelyard deploy" in answer.json()["hint"]


def test_the_router_is_live_and_ready_with_nothing_deployed(router, client):
    router.publish((), ())
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").status_code == 200


def test_v2_requests_reach_their_model_and_say_which_version_answered(two_models, client):
    answer = client.post("/v2/models/bike/infer", json={})
    assert answer.json() == {"port": two_models[0].port, "path": "/v2/models/bike/infer"}
    assert answer.headers["x-modelyard-version"] == "1"
    assert answer.headers["x-request-id"]


def test_a_name_with_a_space_is_found(two_models, client):
    assert client.get("/v2/models/two words/ready").json()["port"] == two_models[1].port


def test_a_model_is_chosen_by_path_for_invocations(two_models, client):
    answer = client.post("/models/two%20words/invocations?a=1", json={})
    assert answer.json() == {"port": two_models[1].port, "path": "/invocations?a=1"}


def test_a_model_is_chosen_by_header_for_invocations(two_models, client):
    answer = client.post("/invocations", json={}, headers={"x-modelyard-model": "two words"})
    assert answer.json()["port"] == two_models[1].port


def test_plain_invocations_name_the_choices_when_there_are_several(two_models, client):
    answer = client.post("/invocations", json={})
    assert answer.status_code == 400
    assert "bike, two words" in answer.json()["hint"]


def test_plain_invocations_reach_the_only_model(router, upstreams, client):
    router.publish([VersionEndpoints("bike", 1, (Endpoint(upstreams[0].port),))], [ModelRoute("bike", ((1, 100),))])
    assert client.post("/invocations", json={}).json()["path"] == "/invocations"


@pytest.mark.parametrize("path", ["/v2/models/bikes/infer", "/models/bikes/invocations"])
def test_an_unknown_model_is_404_and_names_the_deployed_ones(two_models, client, path):
    answer = client.post(path, json={})
    assert answer.status_code == 404
    assert "bike, two words" in answer.json()["hint"]


def test_an_unknown_model_in_the_header_is_404(two_models, client):
    assert client.post("/invocations", json={}, headers={"x-modelyard-model": "bikes"}).status_code == 404


def test_a_version_is_reached_only_while_it_is_served(two_models, client):
    assert client.get("/v2/models/bike/versions/1/ready").status_code == 200
    gone = client.get("/v2/models/bike/versions/2/ready")
    assert gone.status_code == 404
    assert gone.json()["hint"] == "versions served now: 1"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/bike/load",
        "/v2/repository/models/bike/unload",
        "/v2/models/bike/../../repository/index",
        "/v2/models/bike/..%2f..%2frepository/index",
        "//v2//repository/index",
        "/metrics",
        "/health",
        "/docs",
    ],
)
def test_nothing_else_of_a_model_server_is_exposed(two_models, router_settings, client, path):
    raw = httpx.URL(f"http://127.0.0.1:{router_settings.port}").copy_with(raw_path=path.encode())
    answer = client.post(raw, json={})
    assert answer.status_code in (400, 404)


def test_a_body_over_the_limit_is_413_with_a_hint(two_models, client):
    answer = client.post("/v2/models/bike/infer", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["error"]


def test_a_body_below_the_limit_passes(two_models, client):
    assert client.post("/v2/models/bike/infer", content=b"x" * (1024 * 1024 - 1)).status_code == 200


def test_an_answer_that_takes_too_long_is_504_with_a_hint(two_models, client):
    two_models[0].delay = 1.5
    answer = client.post("/v2/models/bike/infer", json={})
    assert answer.status_code == 504
    assert "within 1 s" in answer.json()["error"]


def test_a_model_that_is_not_ready_says_why(router, client):
    router.publish([VersionEndpoints("bike", 1)], [ModelRoute("bike", (), "version 1 is starting")])
    answer = client.post("/v2/models/bike/infer", json={})
    assert answer.status_code == 503
    assert "version 1 is starting" in answer.json()["error"]
    assert client.get("/v2/health/ready").status_code == 503


def test_a_replica_that_is_gone_costs_no_request_while_another_answers(router, upstreams, router_settings):
    upstreams[0].delay = 0.01  # a busy one: the one that is gone looks idle, so Envoy would rather choose that
    statuses = []

    def ask():
        connection = HTTPConnection("127.0.0.1", router_settings.port)
        for _ in range(20):
            connection.request("POST", "/v2/models/bike/infer", b"{}")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    for _ in range(3):  # every new port is one that Envoy has not put aside yet
        endpoints = (Endpoint(upstreams[0].port), Endpoint(free_ports(frozenset())[0]))
        router.publish([VersionEndpoints("bike", 1, endpoints)], [ModelRoute("bike", ((1, 100),))])
        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert Counter(statuses) == {200: 480}


def test_the_only_replica_answers_as_soon_as_it_is_back(router, client):
    port = any_free_port()
    router.publish([VersionEndpoints("bike", 9, (Endpoint(port),))], [ModelRoute("bike", ((9, 100),))])
    away = [client.post("/v2/models/bike/infer", json={}) for _ in range(10)]
    assert {answer.status_code for answer in away} == {503}
    assert "went away" in away[-1].json()["error"]
    back = Upstream(port)
    assert client.post("/v2/models/bike/infer", json={}).status_code == 200
    back.close()


def test_a_draining_replica_gets_no_new_requests(router, upstreams, client):
    endpoints = (Endpoint(upstreams[0].port), Endpoint(upstreams[1].port, draining=True))
    router.publish([VersionEndpoints("bike", 1, endpoints)], [ModelRoute("bike", ((1, 100),))])
    ports = {client.post("/v2/models/bike/infer", json={}).json()["port"] for _ in range(30)}
    assert ports == {upstreams[0].port}


def test_a_draining_replica_finishes_the_request_it_has(router, upstreams, client):
    slow = upstreams[0]
    slow.delay = 0.7
    router.publish([VersionEndpoints("bike", 1, (Endpoint(slow.port),))], [ModelRoute("bike", ((1, 100),))])
    answers = []
    asking = threading.Thread(target=lambda: answers.append(client.post("/v2/models/bike/infer", json={})))
    asking.start()
    time.sleep(0.2)
    draining = VersionEndpoints("bike", 1, (Endpoint(slow.port, draining=True), Endpoint(upstreams[1].port)))
    router.publish([draining], [ModelRoute("bike", ((1, 100),))])
    assert router.active_requests()[slow.port] == 1
    asking.join()
    assert answers[0].json()["port"] == slow.port
    assert router.active_requests()[slow.port] == 0


def test_weights_change_under_load_without_a_failed_request(router, upstreams, router_settings):
    versions = [VersionEndpoints("bike", one, (Endpoint(upstreams[one - 1].port),)) for one in (1, 2)]
    router.publish(versions, [ModelRoute("bike", ((1, 100),))])
    seen, stop = Counter(), threading.Event()

    def ask():
        with httpx.Client(base_url=f"http://127.0.0.1:{router_settings.port}", trust_env=False) as client:
            while not stop.is_set():
                answer = client.post("/v2/models/bike/infer", json={})
                seen[answer.status_code, answer.headers.get("x-modelyard-version")] += 1

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for weight in (10, 50, 0, 100, 30) * 3:
        router.publish(versions, [ModelRoute("bike", ((1, 100 - weight), (2, weight)))])
        time.sleep(0.05)
    stop.set()
    for asker in askers:
        asker.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {"1", "2"}


def test_figures_carry_model_and_version(two_models, client, router_settings):
    client.post("/v2/models/two words/infer", json={})
    text = httpx.get(f"http://127.0.0.1:{router_settings.admin_port}/stats/prometheus", trust_env=False).text
    assert 'envoy_cluster_upstream_rq_total{model="two words",version="7"}' in text


def test_files_of_versions_that_are_gone_are_deleted(router, upstreams, router_settings):
    router.publish([VersionEndpoints("bike", 1, (Endpoint(upstreams[0].port),))], [ModelRoute("bike", ((1, 100),))])
    router.publish((), ())
    assert list((router_settings.folder / "endpoints").glob("*.json")) == []
