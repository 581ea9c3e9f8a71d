"""For every flavour: what comes out is what `mlflow.pyfunc` answers to the same input."""

from functools import cache
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.serving.server import v2_json
from modelyard.serving.server.inputs import FrameInputs, MatrixInputs, TensorInputs
from modelyard.serving.server.loading import proof
from modelyard.serving.server.loading.files import model_files
from modelyard.serving.server.loading.proof import same
from modelyard.serving.server.loading.trial import trial
from modelyard.serving.server.model import Loaded, load
from modelyard.serving.server.outputs import output
from modelyard.serving.server.settings import ModelSettings, ServerSettings
from tests.support.saved_models import SAFE, WORDS

TABULAR = ["sklearn_numbers", "sklearn_words", "xgboost_classifier", "xgboost_booster", "lightgbm_booster", "onnx"]
FINITE = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e-300, 1e15])


@pytest.fixture(scope="session")
def loaded(saved, tmp_path_factory):
    """A model as the server loads it, and as MLflow does."""
    import mlflow

    proofs = tmp_path_factory.mktemp("proofs")

    @cache
    def both(name: str) -> tuple[Loaded, Any]:
        files = model_files(saved(name))
        proof.remember(trial(files, allow_pickle=False), proof.place(files, proofs))
        ours = load(ModelSettings(name, "1", saved(name)), ServerSettings(models=(), proofs=proofs))
        return ours, mlflow.pyfunc.load_model(str(saved(name)))

    return both


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("sklearn_numbers", "matrix"),
        ("sklearn_words", "columns"),
        ("sklearn_tensor", "tensors"),
        ("xgboost_classifier", "matrix"),
        ("xgboost_booster", "matrix"),
        ("lightgbm_booster", "matrix"),
        ("onnx", "matrix"),
        ("onnx_tensor", "tensors"),
    ],
)
def test_each_flavour_is_asked_in_its_fastest_way(loaded, name, way):
    ours, _ = loaded(name)
    assert (ours.proof.way, ours.proof.row_wise) == (way, True)


def test_every_safe_flavour_is_tried_here():
    assert {*TABULAR, "sklearn_tensor", "onnx_tensor"} == set(SAFE)


def rows_of(columns, draw) -> pd.DataFrame:
    count = draw(st.integers(1, 6))

    def values(kind: str) -> Any:
        if kind == "string":
            return draw(st.lists(st.sampled_from([*WORDS, "new", ""]), min_size=count, max_size=count))
        if kind == "long":
            return np.array(draw(st.lists(st.integers(-(2**40), 2**40), min_size=count, max_size=count)))
        return np.array(draw(st.lists(FINITE, min_size=count, max_size=count)))

    return pd.DataFrame({column.name: values(column.type) for column in columns})


def v2_request(frame: pd.DataFrame) -> bytes:
    datatypes = {"f": "FP64", "i": "INT64"}
    return orjson.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": [len(frame)],
                    "datatype": datatypes.get(frame[name].to_numpy().dtype.kind, "BYTES"),
                    "data": frame[name].tolist(),
                }
                for name in frame.columns
            ]
        }
    )


class AsServed:
    """Just what parsing a request needs of a model."""

    def __init__(self, inputs: FrameInputs | MatrixInputs | TensorInputs) -> None:
        self.inputs = inputs


@pytest.mark.parametrize("name", TABULAR)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_v2_request_is_answered_as_by_pyfunc(loaded, name, data):
    ours, pyfunc = loaded(name)
    frame = rows_of(ours.signature.columns, data.draw)
    request = v2_json.read(v2_request(frame), None, AsServed(ours.inputs))
    got = ours.predictor(request.inputs.data, {})
    assert not same(got, output(pyfunc.predict(frame)))


@pytest.mark.parametrize("name", TABULAR)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_invocations_request_is_answered_as_by_pyfunc(loaded, name, data):
    ours, pyfunc = loaded(name)
    frame = rows_of(ours.signature.columns, data.draw)
    bodies = [
        {"dataframe_split": frame.to_dict(orient="split")},
        {"dataframe_records": frame.to_dict(orient="records")},
        {"instances": frame.to_dict(orient="records")},
        {"inputs": frame.to_dict(orient="list")},
    ]
    want = output(pyfunc.predict(frame))
    for body in bodies:
        decoded = ours.inputs.from_json(orjson.loads(orjson.dumps(body)))
        assert not same(ours.predictor(decoded.data, {}), want), list(body)


@pytest.mark.parametrize("name", ["sklearn_tensor", "onnx_tensor"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tensor_is_answered_as_by_pyfunc(loaded, name, data):
    ours, pyfunc = loaded(name)
    dtype = np.dtype(ours.signature.tensors[0].dtype)
    count = data.draw(st.integers(1, 5))
    array = np.array(
        data.draw(
            st.lists(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4), min_size=count, max_size=count)
        ),
        dtype,
    )
    tensor = {"name": "x", "shape": list(array.shape), "datatype": f"FP{dtype.itemsize * 8}", "data": array.tolist()}
    request = v2_json.read(orjson.dumps({"inputs": [tensor]}), None, AsServed(ours.inputs))
    assert not same(ours.predictor(request.inputs.data, {}), output(pyfunc.predict(array)))


@pytest.mark.parametrize("name", TABULAR)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_of_several_requests_are_answered_as_each_alone(loaded, name, data):
    ours, _ = loaded(name)
    requests = [rows_of(ours.signature.columns, data.draw) for _ in range(3)]
    read = [v2_json.read(v2_request(frame), None, AsServed(ours.inputs)).inputs for frame in requests]
    together = ours.predictor(ours.predictor.join([one.data for one in read]), {})
    at = 0
    for one in read:
        alone = ours.predictor(one.data, {})
        assert not same(together.part(at, at + one.rows), alone, batched=True)
        at += one.rows


def test_missing_values_reach_a_booster_as_such(loaded):
    ours, pyfunc = loaded("xgboost_booster")
    frame = pd.DataFrame({f"x{index}": [np.nan, 1.0] for index in range(4)})
    request = v2_json.read(v2_request(frame).replace(b"NaN", b"null"), None, AsServed(ours.inputs))
    assert not same(ours.predictor(request.inputs.data, {}), output(pyfunc.predict(frame)))


def test_a_shortcut_and_the_general_way_read_the_same(loaded):
    ours, _ = loaded("sklearn_numbers")
    frame = pd.DataFrame({"x0": [1.5, 2], "x1": [0.0, 1], "x2": [3, 4.0], "x3": [5, 6.0], "count": [7, 8]})
    tensors = orjson.loads(v2_request(frame))["inputs"]
    plain = ours.inputs.from_plain(tensors)
    general = ours.inputs.from_tensors(v2_json._tensors(tensors, b""))
    assert plain is not None
    assert plain.data.dtype == general.data.dtype
    np.testing.assert_array_equal(plain.data, general.data)
