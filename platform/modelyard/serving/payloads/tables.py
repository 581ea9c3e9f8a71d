"""Frames as Arrow tables, one for each Parquet file."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from modelyard.serving.payloads.batches import Array
from modelyard.serving.payloads.columns import Column
from modelyard.serving.payloads.frames import Frame
from modelyard.serving.payloads.layout import SCHEMA_VERSION

_DAY_NS = 86_400_000_000_000


@dataclass
class DayTable:
    """Rows of one model version and day whose columns have one type each."""

    model: str
    version: str
    day: date
    types: dict[str, pa.DataType]
    parts: list[pa.Table] = field(default_factory=list)

    def takes(self, table: pa.Table) -> bool:
        """Whether the columns are the same; one without any value goes with every type."""
        if table.column_names != list(self.types):
            return False
        pairs = zip(self.types.values(), table.schema.types, strict=True)
        return all(known == new or pa.types.is_null(new) or pa.types.is_null(known) for known, new in pairs)

    def append(self, table: pa.Table) -> None:
        """Add rows that it takes."""
        self.parts.append(table)
        for name, new in zip(table.column_names, table.schema.types, strict=True):
            if pa.types.is_null(self.types[name]):
                self.types[name] = new

    def table(self) -> pa.Table:
        """All rows."""
        whole = pa.concat_tables(self.parts, promote_options="default")
        about = {"modelyard.schema": f"payload-{SCHEMA_VERSION}", "modelyard.model": self.model}
        return whole.replace_schema_metadata(about | {"modelyard.model_version": self.version})


def day_tables(frames: Iterable[Frame]) -> list[DayTable]:
    """Tables by model version, day and types, in the order in which the first row of each came."""
    found: list[DayTable] = []
    for frame in frames:
        for day, table in _by_day(frame):
            key = (frame.model, frame.version, day)
            mine = (one for one in found if (one.model, one.version, one.day) == key and one.takes(table))
            known = next(mine, None)
            if known is None:
                known = DayTable(*key, dict(zip(table.column_names, table.schema.types, strict=True)))
                found.append(known)
            known.append(table)
    return found


def frame_table(frame: Frame) -> pa.Table:
    """All rows of a frame."""
    requests = np.repeat(np.arange(len(frame.rows)), frame.rows)
    starts = np.repeat(np.cumsum(frame.rows) - frame.rows, frame.rows)
    times = (frame.times // 1000)[requests].view("<M8[us]")
    columns: dict[str, pa.Array] = {
        "request_id": pa.array(frame.request_ids, pa.string()).take(pa.array(requests)),
        "row": pa.array((np.arange(len(requests)) - starts).astype("<i4")),
        "time": pa.array(times).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        "model_version": pa.repeat(pa.scalar(frame.version, pa.string()), len(requests)),
    }
    for prefix, many in (("input", frame.inputs), ("output", frame.outputs)):
        for one in many:
            for name, array in _arrays(one):
                columns[f"{prefix}.{name}"] = array
    return pa.table(columns)


def _by_day(frame: Frame) -> Iterator[tuple[date, pa.Table]]:
    table, days = frame_table(frame), frame.times // _DAY_NS
    distinct = np.unique(days)
    for number in distinct:
        day = datetime.fromtimestamp(int(number) * 86_400, UTC).date()
        of_day = pa.array(np.repeat(days == number, frame.rows))
        part = table if len(distinct) == 1 else table.filter(of_day)
        if part.num_rows:
            yield day, part


def _arrays(column: Column) -> Iterator[tuple[str, pa.Array]]:
    if column.form == "numbers" and column.is_matrix:
        by_column = np.ascontiguousarray(column.values.T)
        for name, values in zip(column.names, by_column, strict=True):
            yield name, pa.array(values)
        return
    yield column.names[0], _array(column)


def _array(column: Column) -> pa.Array:
    if column.form == "text":
        return pa.array(column.values, pa.string())
    if column.form == "nothing":
        return pa.nulls(column.values)
    if column.form == "binary":
        return pa.array([one if one is None else base64.b64decode(one) for one in column.values], pa.binary())
    if not len(column.missing):
        return _nested(column.values)
    missing = np.zeros(len(column.values), dtype=bool)
    missing[column.missing] = True
    return pa.array(column.values, mask=missing)


def _nested(values: Array) -> pa.Array:
    """An n-D array as nested lists; their type doesn't depend on the shape, so files hold requests of any shape."""
    if values.ndim == 1:
        return pa.array(values)
    count, length = values.shape[:2]
    offsets = np.arange(count + 1, dtype="<i4") * length
    inner = values.reshape(count * length, *values.shape[2:])
    return pa.ListArray.from_arrays(pa.array(offsets), _nested(inner))
