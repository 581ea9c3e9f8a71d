from datetime import date

import numpy as np

from modelyard.serving.payloads import Columns, PayloadBatch
from modelyard.serving.payloads.frames import decode, encode
from modelyard.serving.payloads.joining import joined, kinds
from modelyard.serving.payloads.tables import day_tables
from tests.support.payload_batches import a_batch

MIDNIGHT = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def tables(*batches):
    frames = [joined(kind, frozenset()) for kind in kinds(batches)]
    return day_tables(one for frame in frames for one in decode(memoryview(b"".join(encode(frame)))))


def with_column(values):
    return PayloadBatch("bike", "1", MIDNIGHT, ["a"], [len(values)], Columns({"x": values}), {})


def test_midnight_utc_parts_the_days():
    found = tables(a_batch(["late"], rows=2, time_ns=MIDNIGHT - 1), a_batch(["early"], time_ns=MIDNIGHT))
    ids = {one.day: one.table()["request_id"].to_pylist() for one in found}
    assert ids == {date(2025, 12, 31): ["late", "late"], date(2026, 1, 1): ["early"]}


def test_a_column_that_changes_its_type_begins_a_table():
    found = tables(*(with_column(np.zeros(2, dtype)) for dtype in ("f8", "f4", "f8")))
    assert [str(one.types["input.x"]) for one in found] == ["double", "float"]


def test_a_column_without_values_takes_the_type_that_comes_later():
    nothing, text = np.array([None], dtype=object), np.array(["é"], dtype=object)
    (only,) = tables(with_column(nothing), with_column(text), with_column(nothing))
    assert sorted(only.table()["input.x"].to_pylist(), key=str) == [None, None, "é"]


def test_requests_of_different_shapes_share_a_table():
    (only,) = tables(with_column(np.ones((1, 2, 3))), with_column(np.zeros((2, 5, 1))))
    assert [np.shape(row) for row in only.table()["input.x"].to_pylist()] == [(2, 3), (5, 1), (5, 1)]


def test_a_table_says_what_it_is():
    (only,) = tables(a_batch(version="7"))
    assert only.table().schema.metadata == {
        b"modelyard.schema": b"payload-1",
        b"modelyard.model": b"bike",
        b"modelyard.model_version": b"7",
    }


def test_versions_have_tables_of_their_own():
    assert [one.version for one in tables(a_batch(version="1"), a_batch(version="2"))] == ["1", "2"]
