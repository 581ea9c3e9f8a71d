"""What goes into a segment comes out of it again, whatever it is."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from modelyard.serving.payloads import Columns, Matrix, PayloadBatch
from modelyard.serving.payloads.frames import decode, encode
from modelyard.serving.payloads.joining import joined
from modelyard.serving.payloads.tables import frame_table

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
NUMBERS = st.one_of(
    of_numpy.integer_dtypes(endianness="?"),
    of_numpy.unsigned_integer_dtypes(endianness="?"),
    of_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    of_numpy.boolean_dtypes(),
)
OBJECTS = st.one_of(
    st.lists(st.one_of(st.none(), TEXT), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.binary(max_size=4)), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, width=64)), min_size=3, max_size=3),
)


def through_a_segment(batch, redact=frozenset()):
    frames = list(decode(memoryview(b"".join(encode(joined([batch], redact))))))
    assert len(frames) == 1
    return frame_table(frames[0])


def batch_of(columns, outputs=None, ids=("a", "b"), rows=(1, 2)):
    return PayloadBatch("bike", "3", 1_700_000_000_123_456_789, ids, rows, Columns(columns), outputs or {})


def as_object(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@settings(max_examples=80, deadline=None)
@given(
    NUMBERS.flatmap(
        lambda dtype: of_numpy.arrays(
            dtype, of_numpy.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3).map(lambda shape: (3, *shape))
        )
    )
)
def test_numbers_of_every_type_and_shape_come_back(array):
    table = through_a_segment(batch_of({"x": array}))
    np.testing.assert_array_equal(np.array(table["input.x"].to_pylist(), array.dtype).reshape(array.shape), array)


@settings(max_examples=60, deadline=None)
@given(OBJECTS)
def test_text_bytes_and_numbers_with_gaps_come_back(values):
    assert through_a_segment(batch_of({"x": as_object(values)}))["input.x"].to_pylist() == values


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, st.integers(0, 3)), min_size=1, max_size=5), NUMBERS)
def test_every_row_knows_its_request(requests, dtype):
    ids, rows = [one for one, _ in requests], [count for _, count in requests]
    values = np.zeros((sum(rows), 2), dtype)
    table = through_a_segment(PayloadBatch("bike", "3", 0, ids, rows, Matrix(("p", "q"), values), {}))
    expected = [(one, row) for one, count in requests for row in range(count)]
    assert list(zip(table["request_id"].to_pylist(), table["row"].to_pylist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("array", "stored"),
    [
        (np.array(["2024-01-31T09:30", "NaT", "1999-01-01T00:00"], "M8[m]"), "timestamp[s]"),
        (np.array([1, 2, 3], "m8[ms]"), "duration[ms]"),
        (np.array([1, 2, 3], "longdouble"), "double"),
        (np.array(["a", "bc", ""]), "string"),
        (np.array([b"a", b"bc", b""]), "binary"),
        (np.array([1 + 2j, 0, 3]), "string"),
        (as_object([1, "a", None]), "string"),
        (as_object([2**70, 1, None]), "string"),
        (as_object([None, None, None]), "null"),
        (as_object([{"a": b"\xff"}, [1], {1, 2}]), "string"),
        (as_object(["\ud800", "a", "b"]), "string"),
    ],
)
def test_what_parquet_has_no_type_for_is_stored_in_the_nearest(array, stored):
    assert str(through_a_segment(batch_of({"x": array})).schema.field("input.x").type) == stored


def test_missing_times_stay_missing():
    array = np.array(["NaT", "2024-01-31", "2024-01-31"], "M8[ns]")
    assert through_a_segment(batch_of({"x": array}))["input.x"].null_count == 1


def test_an_output_that_is_not_per_row_is_json_text_at_each_requests_first_row():
    table = through_a_segment(batch_of({"x": np.zeros(3)}, {"top": np.array([[1.5, 2], [3, 4]])}))
    assert table["output.top"].to_pylist() == ["[[1.5,2.0],[3.0,4.0]]", "[[1.5,2.0],[3.0,4.0]]", None]


def test_times_are_utc_with_microseconds():
    time = through_a_segment(batch_of({"x": np.zeros(3)}))["time"]
    assert str(time.type) == "timestamp[us, tz=UTC]"
    assert time[0].as_py().isoformat() == "2023-11-14T22:13:20.123456+00:00"


def test_half_a_frame_ends_a_segment():
    whole = b"".join(encode(joined([batch_of({"x": np.zeros(3)})], frozenset())))
    for length in (1, 19, 20, len(whole) - 1):
        rest = []
        assert len(list(decode(memoryview(whole + whole[:length]), rest.append))) == 1
        assert rest == [length]


def test_a_frame_with_a_changed_byte_ends_a_segment():
    whole = bytearray(b"".join(encode(joined([batch_of({"x": np.zeros(3)})], frozenset()))))
    whole[-1] ^= 1
    assert list(decode(memoryview(bytes(whole)))) == []


def test_the_server_gets_neither_pyarrow_nor_pandas():
    code = "import sys, modelyard.serving.payloads; print([one for one in ('pyarrow', 'pandas') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
