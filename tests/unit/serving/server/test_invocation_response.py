"""Answers of `/invocations` are those of MLflow's server, except for what isn't JSON."""

import datetime
import io
import json
import math

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mlflow.pyfunc.scoring_server import predictions_to_json

from modelyard.serving.server.errors import ModelFailed
from modelyard.serving.server.invocation_response import response
from modelyard.serving.server.outputs import Output, output

DTYPES = st.sampled_from(["float64", "float32", "float16", "int64", "int8", "uint64", "bool", ">f8", "<U3", "M8[s]"])


def theirs(raw):
    text = io.StringIO()
    predictions_to_json(raw, text)
    return without_nan(json.loads(text.getvalue()))


def without_nan(value):
    if isinstance(value, dict):
        return {name: without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def same(raw):
    ours = orjson.loads(response(output(raw)))
    assert ours == theirs(raw)


@given(arrays.arrays(DTYPES, arrays.array_shapes(max_dims=3, max_side=3)))
def test_arrays_of_every_type(array):
    same(array)
    same(array.T)


@given(st.lists(arrays.arrays(DTYPES.filter(lambda one: one != "<U3"), 2), min_size=1, max_size=3))
def test_frames_of_every_type(columns):
    same(pd.DataFrame({f"c{index}": one.astype(one.dtype.newbyteorder("=")) for index, one in enumerate(columns)}))


NS = np.array(["2026-01-31T09:30:00.000000001", "2026-01-31", "NaT"], dtype="M8[ns]")


@pytest.mark.parametrize(
    "raw",
    [
        NS,
        NS[:2].astype("M8[D]"),
        pd.DataFrame({"at": NS, "word": ["a", None, "b"]}),
        pd.Series([1, 2], name="score"),
        pd.Series([1.5, None]),
        pd.DataFrame({0: [1], 1: [2]}),
        pd.DataFrame({"a": [[1, 2], None]}),
        np.array(["a", None, 1], dtype=object),
        np.array([b"a" * 60, b""]),
        np.array(1.5),
        np.array([]),
        {"a": np.array([1.5, np.inf], dtype="float32"), "b": np.array([[1]])},
        ["a", "b"],
        [1, np.float32(0.1), np.int64(3), np.True_, None],
        [{"a": datetime.date(2026, 1, 31), "b": b"x"}, (1, 2)],
        {"a": {"b": [float("nan"), pd.Timestamp("2026-01-31")]}},
        "text",
        None,
    ],
    ids=repr,
)
def test_whatever_else_models_return(raw):
    same(raw)


def test_numbers_keep_the_decimals_that_mlflow_writes():
    assert response(output(np.array([0.1], dtype="float32"))) == b'{"predictions":[0.10000000149011612]}'


def test_whole_numbers_of_more_than_64_bits_are_written():
    assert json.loads(response(Output("other", {}, plain=[2**70])))["predictions"] == [2**70]


def test_what_is_no_json_is_the_models_failure():
    with pytest.raises(ModelFailed, match="can't be written as JSON"):
        response(output([object()]))
