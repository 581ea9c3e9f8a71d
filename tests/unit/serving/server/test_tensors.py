import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelyard.serving.server.datatypes import DTYPES
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.tensors import InputTensor, as_array, raw_array, raw_bytes

NUMBERS = [name for name in DTYPES if name != "BYTES"]


def tensor(datatype, shape, data):
    return InputTensor("x", datatype, shape, data)


@given(st.data(), st.sampled_from(NUMBERS))
def test_numbers_come_through_json_as_they_were(data, datatype):
    array = data.draw(
        hnp.arrays(DTYPES[datatype], hnp.array_shapes(), elements={"allow_nan": False} if "FP" in datatype else None)
    )
    if datatype.startswith("FP"):
        array = np.nan_to_num(array, posinf=0, neginf=0)
    flat = as_array(tensor(datatype, list(array.shape), array.ravel().tolist()))
    nested = as_array(tensor(datatype, list(array.shape), array.tolist()))
    np.testing.assert_array_equal(flat, array)
    np.testing.assert_array_equal(nested, array)
    assert flat.dtype == nested.dtype == array.dtype


@given(st.data(), st.sampled_from(NUMBERS))
def test_raw_bytes_come_back_as_they_were(data, datatype):
    array = data.draw(hnp.arrays(DTYPES[datatype], hnp.array_shapes()))
    np.testing.assert_array_equal(raw_array("x", datatype, raw_bytes(array)), array.ravel())


@given(st.lists(st.binary(max_size=20)))
def test_raw_strings_come_back_as_they_were(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    assert raw_array("x", "BYTES", raw_bytes(array)).tolist() == values


@given(st.sampled_from([*DTYPES]), st.binary(max_size=64))
def test_any_raw_bytes_are_an_array_or_refused(datatype, raw):
    try:
        found = raw_array("x", datatype, raw)
    except RequestError:
        return
    assert raw_bytes(found) == raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from([*DTYPES, "FP128", ""]), JSON, JSON)
def test_any_json_is_an_array_or_refused(datatype, shape, data):
    try:
        array = as_array(tensor(datatype, shape, data))
    except RequestError:
        return
    assert list(array.shape) == shape


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "said"),
    [
        ("FP64", [2], [1.0], "shape [2] has 2 values, data has 1"),
        ("FP64", [2, 2], [[1, 2], [3]], "nested otherwise than shape"),
        ("FP64", [1], [True], "value 0 is True"),
        ("FP64", [2], [1.0, "1"], "value 1 is '1'"),
        ("INT64", [1], [1.5], "value 0 is 1.5"),
        ("INT64", [1], [None], "value 0 is None"),
        ("INT64", [1], [2**63], "doesn't fit into int64"),
        ("UINT8", [2], [1, 256], "value 1 is 256"),
        ("UINT8", [1], [-1], "value 0 is -1"),
        ("FP32", [1], [1e39], "doesn't fit into float32"),
        ("BOOL", [1], [1], "value 0 is 1"),
        ("BYTES", [1], [1], "value 0 is 1"),
        ("FP65", [1], [1], "is none of"),
        ("FP64", [-1], [1], "aren't negative"),
        ("FP64", [True], [1], "whole numbers"),
        ("FP64", 1, [1], "has to be a list"),
        ("FP64", [1], {"a": 1}, "data has to be a list"),
        ("FP64", [1] * 40, [1], "more than 32"),
        ("FP64", [10**9, 10**9], [1], "data has 1"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(datatype, shape, data, said):
    with pytest.raises(RequestError, match="input 'x'") as refused:
        as_array(tensor(datatype, shape, data))
    assert said in str(refused.value)


def test_a_missing_number_is_nan():
    assert np.isnan(as_array(tensor("FP64", [2], [1, None]))[1])


@pytest.mark.parametrize(
    ("datatype", "raw"), [("FP64", b"123"), ("BOOL", b"\x02"), ("BYTES", b"\x09\0\0\0abc"), ("BYTES", b"\x01")]
)
def test_broken_raw_bytes_are_refused(datatype, raw):
    with pytest.raises(RequestError, match="input 'x'"):
        raw_array("x", datatype, raw)
