import numpy as np
import pytest

from modelyard.serving.payloads import Columns, Matrix, PayloadBatch
from modelyard.serving.payloads.batches import held_bytes
from modelyard.serving.payloads.frames import encode
from modelyard.serving.payloads.joining import joined, kinds
from tests.support.payload_batches import a_batch


def names(columns):
    return [name for one in columns for name in one.names]


def with_inputs(inputs, outputs=None):
    return PayloadBatch("bike", "1", 0, ["a"], [1], inputs, outputs or {})


def test_batches_of_one_kind_become_one_frame():
    (kind,) = kinds([a_batch(["a"]), a_batch(["b", "c"], rows=2)])
    frame = joined(kind, frozenset())
    assert list(frame.request_ids) == ["a", "b", "c"]
    assert frame.rows.tolist() == [1, 2, 2]
    assert frame.inputs[0].values.shape == (5, 3)


@pytest.mark.parametrize(
    "other",
    [
        with_inputs(Matrix(("x",), np.zeros((1, 1), "f4"))),
        with_inputs(Matrix(("y",), np.zeros((1, 1)))),
        with_inputs(Columns({"x": np.zeros(1)})),
        with_inputs(Matrix(("x",), np.zeros((1, 1))), {"y": np.zeros(1)}),
        with_inputs(Matrix(("x",), np.zeros((1, 1))), {"y": np.zeros(2)}),
        PayloadBatch("bike", "2", 0, ["a"], [1], Matrix(("x",), np.zeros((1, 1))), {}),
    ],
)
def test_batches_that_differ_are_of_two_kinds(other):
    assert len(kinds([with_inputs(Matrix(("x",), np.zeros((1, 1)))), other])) == 2


def test_kinds_that_alternate_are_still_two():
    one, other = a_batch(version="1"), a_batch(version="2")
    assert [len(kind) for kind in kinds([one, other] * 5)] == [5, 5]


@pytest.mark.parametrize("as_columns", [False, True])
def test_a_redacted_column_is_in_no_byte_of_a_frame(as_columns):
    values = np.full((4, 2), 1.5)
    values[:, 1] = 20251123.75
    inputs = Columns({"x": values[:, 0], "ssn": values[:, 1]}) if as_columns else Matrix(("x", "ssn"), values)
    outputs = {"y": np.zeros(4), "reason": np.array(["because"] * 4)}
    batch = PayloadBatch("bike", "1", 0, ["a"], [4], inputs, outputs)
    frame = joined([batch], frozenset({"ssn", "reason"}))
    written = b"".join(bytes(piece) for piece in encode(frame))
    assert (names(frame.inputs), names(frame.outputs)) == (["x"], ["y"])
    for secret in (b"ssn", b"reason", b"because", np.float64(20251123.75).tobytes()):
        assert secret not in written


def test_a_model_all_of_whose_inputs_are_redacted_is_recorded_without():
    frame = joined([a_batch(["a"])], frozenset({"temperature", "wind", "secret"}))
    assert names(frame.inputs) == []
    assert names(frame.outputs) == ["count"]


@pytest.mark.parametrize("shape", [(2, 3), (1, 2), (1,)])
def test_a_matrix_that_does_not_fit_rows_and_names_is_refused(shape):
    with pytest.raises(ValueError, match="inputs have shape"):
        joined([with_inputs(Matrix(("a", "b", "c"), np.zeros(shape)))], frozenset())


def test_a_slice_counts_as_what_it_keeps_in_memory():
    whole = np.zeros((1000, 3))
    assert held_bytes(with_inputs(Matrix(("a", "b", "c"), whole[:1]))) >= whole.nbytes


def test_text_counts_as_long_as_it_is():
    text = np.array(["x" * 10_000, {"deep": ["y" * 10_000]}], dtype=object)
    assert held_bytes(with_inputs(Columns({"t": text}))) >= 20_000


def test_redacted_keys_are_left_out_of_values_that_are_objects():
    person = np.empty(1, dtype=object)
    person[0] = {"age": 3, "more": [{"ssn": "12-34", "name": "x"}]}
    frame = joined([with_inputs(Columns({"person": person}), {"top": person.repeat(2)})], frozenset({"ssn"}))
    written = b"".join(bytes(piece) for piece in encode(frame))
    assert b"ssn" not in written
    assert b"12-34" not in written
    assert b"age" in written
