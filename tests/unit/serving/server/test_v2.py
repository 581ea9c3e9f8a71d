"""Arrays as V2 has them."""

import json

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard.serving.server import v2
from modelyard.serving.server.columns import objects
from modelyard.serving.server.datatypes import DTYPES
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import raw_array
from tests.support.fake_models import FakeModel

NUMBERS = [name for name in DTYPES if name != "BYTES"]
OUTPUT = Output("frame", {"a": np.array([1.0]), "b": np.array([2]), "c": np.array([3])})


@given(st.sampled_from(NUMBERS), st.data())
def test_numbers_survive_json_and_binary(name, data):
    array = data.draw(arrays.arrays(DTYPES[name], arrays.array_shapes(max_dims=3)))
    for one in (array, array.T, array.astype(array.dtype.newbyteorder(">"))):
        found = v2.encoded(one)
        assert (found.datatype, found.shape, dict(found.parameters)) == (name, one.shape, {})
        raw = raw_array("x", name, v2.raw_data("x", found)).reshape(found.shape)
        np.testing.assert_array_equal(raw, one)
        read = orjson.loads(orjson.dumps(v2.json_data(found), option=orjson.OPT_SERIALIZE_NUMPY))
        back = np.array(read, dtype=array.dtype).reshape(found.shape)
        np.testing.assert_array_equal(back, np.where(np.isfinite(one), one, np.nan) if one.dtype.kind == "f" else one)


@pytest.mark.parametrize(
    ("array", "datatype", "parameters", "data"),
    [
        (objects(["é", None]), "BYTES", {"content_type": "str"}, ["é", None]),
        (np.array(["a", "bc"]), "BYTES", {"content_type": "str"}, ["a", "bc"]),
        (objects([b"\xff", None]), "BYTES", {"content_type": "base64"}, ["/w==", None]),
        (np.array([b"ab"]), "BYTES", {"content_type": "base64"}, ["YWI="]),
        (objects([1, 2]), "INT64", {}, [1, 2]),
        (objects([1.5]), "FP64", {}, [1.5]),
        (objects([True]), "BOOL", {}, [True]),
        (objects([2**70]), "BYTES", {"content_type": "str"}, [str(2**70)]),
        (objects([1, "a"]), "BYTES", {"content_type": "str"}, ["1", "a"]),
        (objects([{"a": [1]}]), "BYTES", {"content_type": "str"}, ['{"a":[1]}']),
        (
            objects([pd.Timestamp("2026-01-31"), pd.NaT]),
            "BYTES",
            {"content_type": "str"},
            ["2026-01-31T00:00:00", None],
        ),
        (np.array([1.5], dtype=np.longdouble), "FP64", {}, [1.5]),
        (np.array([], dtype=object), "BYTES", {"content_type": "str"}, []),
        (
            np.array(["2026-01-31", "NaT"], "M8[ns]"),
            "BYTES",
            {"content_type": "datetime"},
            ["2026-01-31T00:00:00", None],
        ),
        (
            np.array(["2026-01-31T09:30:00.000000001"], "M8[ns]"),
            "BYTES",
            {"content_type": "datetime"},
            ["2026-01-31T09:30:00.000000001"],
        ),
    ],
    ids=repr,
)
def test_what_is_no_number_goes_as_bytes(array, datatype, parameters, data):
    found = v2.encoded(array)
    assert (found.datatype, dict(found.parameters)) == (datatype, parameters)
    written = orjson.dumps(v2.json_data(found), option=orjson.OPT_SERIALIZE_NUMPY)
    assert json.loads(written) == data


def test_a_single_number_has_one_dimension():
    assert v2.encoded(np.array(3)).shape == (1,)
    assert v2.raw_data("x", v2.encoded(np.array(3, dtype="int8"))) == b"\x03"


def test_missing_strings_have_no_binary_form():
    with pytest.raises(RequestError, match="output 'x' has missing values, which binary data can't hold"):
        v2.raw_data("x", v2.encoded(objects(["a", None])))


def test_outputs_come_in_the_order_asked_for():
    assert list(v2.select(OUTPUT, ["c", "a"], FakeModel())) == ["c", "a"]
    assert list(v2.select(OUTPUT, None, FakeModel())) == ["a", "b", "c"]


def test_an_unknown_output_is_refused_with_those_there_are():
    with pytest.raises(RequestError, match=r"model 'demo' has no output 'd'.*it has 'a', 'b', 'c'"):
        v2.select(OUTPUT, ["d"], FakeModel())
