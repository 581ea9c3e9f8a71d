"""The protocol from the outside: what is answered, and what is refused how."""

import json
import socket
import struct

import httpx
import numpy as np
import pytest

from tests.support.model_server import ModelServer

NUMBERS = {"x0": 0.5, "x1": -1.0, "x2": 2.0, "x3": 0.0}
INFER = "/v2/models/sklearn_numbers/infer"


def tensors(count: int = 3, **changed) -> list[dict]:
    found = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in (NUMBERS | changed).items()
    ]
    return [*found, {"name": "count", "shape": [1], "datatype": "INT64", "data": [count]}]


def x(model: str, *values: float) -> tuple[str, dict]:
    data = {"name": "x", "shape": [len(values)], "datatype": "FP64", "data": list(values)}
    return f"/v2/models/{model}/infer", {"inputs": [data]}


def infer(client: httpx.Client, model: str, *values: float) -> httpx.Response:
    path, body = x(model, *values)
    return client.post(path, json=body)


def answered(response: httpx.Response) -> list:
    assert response.status_code == 200, response.text
    return response.json()["outputs"][0]["data"]


# ---- what V2 says


def test_the_server_says_what_it_is(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").json() == {"ready": True}


def test_metadata_say_what_a_model_takes_and_how_it_is_asked(client):
    found = client.get("/v2/models/sklearn_numbers").json()
    assert found["platform"] == "mlflow_sklearn"
    assert found["versions"] == ["1"]
    assert {"name": "count", "datatype": "INT64", "shape": [-1]} in found["inputs"]
    assert (found["parameters"]["path"], found["parameters"]["batching"]) == ("matrix", "on")
    assert found["parameters"]["equal_to"].startswith("mlflow.pyfunc 3.")


def test_metadata_say_that_a_model_was_unpickled(client):
    assert client.get("/v2/models/pickled").json()["parameters"]["unpickled"] is True
    assert client.get("/v2/models/sklearn_numbers").json()["parameters"]["unpickled"] is False


@pytest.mark.parametrize("model", ["counting", "batch_mean"])
def test_a_model_whose_rows_depend_on_each_other_is_not_batched(client, model):
    assert client.get(f"/v2/models/{model}").json()["parameters"]["batching"].startswith("off: ")


def test_a_prediction_has_name_version_and_the_id_that_was_sent(client):
    found = client.post(INFER, json={"id": "seven", "inputs": tensors()}).json()
    assert (found["model_name"], found["model_version"], found["id"]) == ("sklearn_numbers", "1", "seven")
    assert found["outputs"][0] | {"data": []} == {"name": "output-0", "datatype": "INT64", "shape": [1], "data": []}


def test_a_version_can_be_named(client):
    path = "/v2/models/sklearn_numbers/versions/1"
    assert client.get(f"{path}/ready").status_code == 200
    assert client.post(f"{path}/infer", json={"inputs": tensors()}).status_code == 200


def test_every_request_gets_an_id(client):
    ids = {client.post(INFER, json={"inputs": tensors()}).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_request_id_and_the_trace_come_back(client):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    found = client.post(INFER, json={"inputs": tensors()}, headers={"x-request-id": "abc", "traceparent": trace})
    assert (found.headers["x-request-id"], found.headers["traceparent"]) == ("abc", trace)


@pytest.mark.parametrize("name", ["two\nlines", "é", "x" * 5000, "\x7f"])
def test_an_id_that_can_be_no_header_comes_back_all_the_same(client, name):
    found = client.post(INFER, json={"id": name, "inputs": tensors()})
    assert found.json()["id"] == name


def test_tensors_can_travel_as_raw_bytes(client):
    head = json.dumps(
        {
            "inputs": [
                {"name": name, "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
                for name in NUMBERS
            ]
            + [{"name": "count", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}}],
            "outputs": [{"name": "output-0", "parameters": {"binary_data": True}}],
        }
    ).encode()
    raw = b"".join(struct.pack("<2d", value, value) for value in NUMBERS.values()) + struct.pack("<2q", 3, 49)
    answer = client.post(INFER, content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    described = json.loads(answer.content[:length])["outputs"][0]
    got = np.frombuffer(answer.content[length:], "<i8").tolist()
    want = [answered(client.post(INFER, json={"inputs": tensors(count)}))[0] for count in (3, 49)]
    assert described["parameters"] == {"binary_data_size": 16}
    assert got == want


def test_a_number_that_json_has_not_is_null_and_said_to_be(client):
    found = infer(client, "batch_mean", 1.7e308, 1.7e308).json()["outputs"][0]
    assert found["parameters"] == {"non_finite": True}


# ---- MLflow's own way


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["x"], "data": [[1.5], [2]]}},
        {"dataframe_records": [{"x": 1.5}, {"x": 2}]},
        {"instances": [{"x": 1.5}, {"x": 2}]},
        {"inputs": {"x": [1.5, 2]}},
    ],
)
def test_invocations_take_all_four_forms_of_mlflow(client, body):
    answer = client.post("/models/short/invocations", json=body)
    assert answer.json() == {"predictions": [3.0, 4.0]}


def test_invocations_take_csv(client):
    answer = client.post("/models/short/invocations", content="x\n1.5\n2\n", headers={"content-type": "text/csv"})
    assert answer.json() == {"predictions": [3.0, 4.0]}


def test_invocations_want_to_know_which_of_several_models(client):
    answer = client.post("/invocations", json={"inputs": {"x": [1.0]}})
    assert answer.status_code == 400
    assert "POST to /models/NAME/invocations" in answer.json()["message"]


# ---- what is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x0": "a"}, "input 'x0': value 0 is 'a'"),
        ({"x0": True}, "input 'x0': value 0 is True"),
        ({"temperature": 1.0}, "the model has no input 'temperature'; it has 'x0', 'x1'"),
        ({"count_": 1}, "the model has no input 'count_' (did you mean 'count'?)"),
    ],
)
def test_a_wrong_column_is_refused_by_name(client, changed, said):
    answer = client.post(INFER, json={"inputs": tensors(**changed)})
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_missing_column_is_refused_by_name(client):
    answer = client.post(INFER, json={"inputs": tensors()[1:]})
    assert "required inputs are missing: 'x0'" in answer.json()["error"]


def test_reordered_columns_are_the_same_request(client):
    assert answered(client.post(INFER, json={"inputs": tensors()[::-1]})) == answered(
        client.post(INFER, json={"inputs": tensors()})
    )


@pytest.mark.parametrize("value", [None, 1e999])
def test_a_missing_or_infinite_number_is_refused_by_a_model_that_takes_none(client, value):
    body = json.dumps({"inputs": tensors(x0=value)}).replace("Infinity", "1e999")
    answer = client.post(INFER, content=body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "has no body"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "has to be a JSON object"),
        (b"{}", '"inputs" has to be a list'),
        (b'{"inputs": []}', '"inputs" has to be a list'),
        (b'{"inputs": [1]}', "input 0 has to be an object"),
        (b'{"inputs": [{"name": "x0"}]}', "datatype has to be a string"),
        (b'{"inputs": [{"name": "x0", "datatype": "FP64", "shape": [1]}]}', "has no data"),
        (b'{"id": 7, "inputs": [{"name": "x0", "datatype": "FP64", "shape": [1], "data": [1]}]}', "are missing"),
    ],
)
def test_a_body_that_is_no_request_is_refused(client, body, said):
    answer = client.post(INFER, content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_of_a_key_that_is_there_twice_the_last_one_counts(client):
    body = json.dumps({"inputs": tensors()})
    twice = body.replace('"data": [0.5]', '"data": ["wrong"], "data": [0.5]')
    assert answered(client.post(INFER, content=twice)) == answered(client.post(INFER, content=body))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/nothing/infer", 404),
        ("POST", "/v2/models/sklearn_numbers/versions/2/infer", 404),
        ("GET", "/v2/models/sklearn_numbr", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/v2/infer", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/health/ready", 405),
        ("DELETE", "/models/sklearn_numbers/invocations", 405),
    ],
)
def test_what_is_not_there_is_said(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert ("allow" in answer.headers) == (status == 405)


def test_an_unknown_model_comes_with_those_there_are(client):
    said = client.get("/v2/models/sklearn_numbr").json()["error"]
    assert "did you mean 'sklearn_numbers'" in said


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/json; charset=latin-1"])
def test_another_content_type_is_refused(client, kind):
    answer = client.post("/models/short/invocations", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert set(answer.json()) == {"error_code", "message"}


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: ModelServer):
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * 2**20}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_large_body_without_a_length_is_refused_when_it_has_become_too_large(client):
    answer = client.post(INFER, content=(b"x" * 2**20 for _ in range(100)))
    assert answer.status_code == 413


def test_a_truncated_body_gets_no_answer_and_harms_nobody(server: ModelServer, client):
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(4096) == b""
    assert answered(client.post(INFER, json={"inputs": tensors()}))


# ---- models that misbehave


@pytest.mark.parametrize(
    ("value", "status", "said"), [(-1, 400, "x is -1"), (-2, 500, "TypeError"), (-3, 500, "SystemExit")]
)
def test_a_model_that_raises_is_an_answer_and_no_end(client, value, status, said):
    answer = infer(client, "moody", value)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answered(infer(client, "moody", 2)) == [4.0]


def test_an_answer_of_the_wrong_length_is_the_models_failure(client):
    answer = infer(client, "short", -1, 1)
    assert answer.status_code == 500
    assert "was given 2 rows and answered with 1" in answer.json()["error"]


def test_a_slow_model_holds_up_neither_health_nor_other_models(server: ModelServer, client):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=30) as other:
        slow = pool.submit(infer, other, "slow", 2.0)
        asked = 0
        while not slow.done():
            assert client.get("/v2/health/live").elapsed.total_seconds() < 1
            assert answered(client.post(INFER, json={"inputs": tensors()}))
            asked += 1
        assert answered(slow.result()) == [4.0]
    assert asked > 5


def test_metrics_tell_what_happened(server: ModelServer, client):
    infer(client, "moody", -1)
    infer(client, "moody", 1)
    text = httpx.get(f"{server.management_url}/metrics").text
    for expected in (
        'modelyard_model_requests_total{code="400",model="moody",protocol="v2",version="1"}',
        'modelyard_model_errors_total{kind="refused_by_model",model="moody",version="1"}',
        'modelyard_model_batch_rows_count{model="moody",version="1"}',
        'model="sklearn_numbers",path="matrix",unpickled="false",version="1"} 1.0',
        'model="pickled",path="matrix",unpickled="true",version="1"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert expected in text
