"""The OpenAPI document of a server."""

import pytest
from jsonschema_rs import Draft202012Validator

from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.inputs import FrameInputs, TensorInputs
from modelyard.serving.server.openapi import document
from modelyard.serving.server.signature import Column, Param, Signature, Tensor
from modelyard.serving.server.tensors import InputTensor
from tests.support.fake_models import FakeModel, FakeModels

EVERY_TYPE = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
COLUMNS = Signature(tuple(Column(f"a {kind}", kind) for kind in EVERY_TYPE), params=(Param("k", "double", 1.0),))
TENSORS = Signature((Tensor("x", "float32", (-1, 2, 2)), Tensor("y", "str", (-1,))))


def request_schema(model, path):
    paths = document(FakeModels(model))["paths"]
    return paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("signature", [COLUMNS, TENSORS], ids=["columns", "tensors"])
def test_examples_follow_their_schema_and_are_taken_by_the_model(signature):
    model = FakeModel(name="m")
    model.signature = signature
    inputs = FrameInputs(signature.columns) if signature.columns else TensorInputs(signature.tensors)
    infer, invocation = (request_schema(model, path) for path in ("/v2/models/m/infer", "/models/m/invocations"))
    for schema in (infer, invocation):
        assert schema["examples"]
        for example in schema["examples"]:
            Draft202012Validator(schema).validate(example)
    for example in infer["examples"]:
        tensors = [InputTensor(one["name"], one["datatype"], one["shape"], one["data"]) for one in example["inputs"]]
        assert inputs.from_tensors(tensors).rows == 1
    for example in invocation["examples"]:
        assert inputs.from_json(example).rows == 1


@pytest.mark.parametrize(
    "change", [{"a double": "1"}, {"a long": 1.5}, {"a boolean": "true"}, {"a string": 5}, {"a datetime": "31.1.2026"}]
)
def test_what_a_schema_forbids_is_refused(change):
    model = FakeModel(name="m")
    model.signature = COLUMNS
    schema = request_schema(model, "/models/m/invocations")
    row = schema["examples"][1]["dataframe_records"][0] | change
    assert not Draft202012Validator(schema).is_valid({"dataframe_records": [row]})
    with pytest.raises(RequestError):
        FrameInputs(COLUMNS.columns).from_json({"dataframe_records": [row]})


def test_a_missing_or_unknown_input_breaks_the_schema():
    schema = request_schema(FakeModel(name="m"), "/v2/models/m/infer")
    example = schema["examples"][0]
    validator = Draft202012Validator(schema)
    assert validator.is_valid(example)
    assert not validator.is_valid({"inputs": example["inputs"][1:]})
    assert not validator.is_valid({"inputs": [*example["inputs"], {**example["inputs"][0], "name": "z"}]})
    assert not validator.is_valid({"inputs": [*example["inputs"][:2], example["inputs"][0]]})


def test_every_operation_says_what_each_status_answers_with():
    every = {"200", "400", "404", "405", "408", "413", "415", "429", "500", "503", "504"}
    for path, item in document(FakeModels(FakeModel()))["paths"].items():
        responses = (item.get("get") or item["post"])["responses"]
        assert set(responses) == every if "post" in item else {"200", "405"} <= set(responses), path
        assert all(response["content"] for response in responses.values()), path
        assert responses["405"]["headers"]["Allow"]["required"], path


def test_names_are_quoted_and_the_base_is_said():
    found = document(FakeModels(FakeModel(name="a b/{c}")), base="/serving")
    assert "/v2/models/a%20b%2F%7Bc%7D/infer" in found["paths"]
    assert found["servers"] == [{"url": "/serving"}]


def test_invocations_without_a_name_are_those_of_the_only_model():
    alone = document(FakeModels(FakeModel(name="m")))["paths"]["/invocations"]
    many = document(FakeModels(FakeModel(name="m"), FakeModel(name="n")))["paths"]["/invocations"]
    assert "m" in alone["post"]["summary"]
    assert "examples" in alone["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "a model" in many["post"]["summary"]
