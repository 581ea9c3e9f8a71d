"""What a server answered is in the store: once each, without what is redacted, also when it was just stopped."""

import json

import httpx
import pyarrow.dataset
import pytest

from tests.support.model_server import a_server, proved
from tests.support.waiting import eventually

WORDS = {"x0": 0.5, "x1": -1.0, "x2": 2.0, "x3": 0.0, "count": 3, "weather": "rain"}


@pytest.fixture
def recorded(models, tmp_path):
    """A server that records everything, and what is in the store by now."""
    settings = {
        "store": {"destination": str(tmp_path / "store")},
        "spool": str(tmp_path / "spool"),
        "max_seconds": 600,
        "redact": ["x3"],
    }
    served = {name: models[name] for name in ("sklearn_numbers", "sklearn_words", "sklearn_tensor")}
    proved(served, tmp_path)
    with a_server(served, tmp_path, "--payload-log", json.dumps(settings)) as server:

        def table(model):
            dataset = pyarrow.dataset.dataset(tmp_path / "store" / "payloads" / f"model={model}", partitioning="hive")
            return dataset.to_table().to_pylist()

        yield server, table


def ask(server, model, data, **head):
    answer = httpx.post(f"{server.url}/models/{model}/invocations", json=data, headers=head)
    assert answer.status_code == 200, answer.text
    return answer


def test_every_answer_is_in_the_store_once_a_stopped_server_has_ended(recorded):
    server, table = recorded
    for index in range(20):
        ask(
            server,
            "sklearn_words",
            {"dataframe_records": [WORDS, WORDS | {"x0": index}]},
            **{"x-request-id": f"r{index}"},
        )
        ask(server, "sklearn_numbers", {"inputs": {name: [WORDS[name]] for name in ("x0", "x1", "x2", "x3", "count")}})
    said = ask(server, "sklearn_tensor", {"inputs": [[1.0, 2.0, 3.0, 4.0]]}).json()["predictions"]
    assert server.stop() == 0
    words = table("sklearn_words")
    assert sorted((row["request_id"], row["row"]) for row in words) == sorted(
        (f"r{index}", row) for index in range(20) for row in range(2)
    )
    assert {row["input.weather"] for row in words} == {"rain"}
    assert not any("x3" in name for row in words for name in row)
    assert {row["output.output-0"] for row in words} <= {"few", "many"}
    assert len(table("sklearn_numbers")) == 20
    (tensor,) = table("sklearn_tensor")
    assert tensor["output.output-0"] == said[0]


def test_what_was_refused_is_not_recorded(recorded):
    server, _ = recorded
    ask(server, "sklearn_words", {"dataframe_records": [WORDS]})
    assert httpx.post(f"{server.url}/models/sklearn_words/invocations", json={"inputs": {}}).status_code == 400
    eventually(lambda: server.metric("modelyard_payload_recorded_requests_total") == 1, what="one record")
    assert server.metric("modelyard_payload_dropped_requests_total") == 0


def test_a_server_with_a_wrong_payload_log_does_not_start(models, tmp_path):
    from tests.support.model_server import launched

    server = launched({"m": models["onnx"]}, tmp_path, "--payload-log", json.dumps({"sampel": 1}))
    assert server.process.wait(30) == 1
    assert "no setting 'sampel'" in server.log()
