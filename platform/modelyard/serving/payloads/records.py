"""The newest recorded requests of a model."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard.serving.payloads.reading import PayloadFiles, RecordedFile

_BEGUN = re.compile(r"/(\d{8}T\d{6}Z)-[^/]*$")
_SEGMENT_LIFE = timedelta(hours=1)
Record = dict[str, Any]


def newest(files: PayloadFiles, model: str, version: str | None, last: int) -> list[Record]:
    """The newest records, the newest first, as columns by name.

    Args:
        files: Of the store.
        model: Its name.
        version: Only of this one.
        last: How many rows at most.

    Raises:
        Unreachable: the store doesn't answer.
        ModelyardError: nothing was recorded.
    """
    found: list[Record] = []
    by_age = sorted(files.recorded(model, version), key=_begun, reverse=True)
    try:
        for records in _read(files, by_age, found, last):
            found += records
            found.sort(key=lambda one: (one["time"], -one["row"]), reverse=True)
            del found[last:]
    except OSError as error:
        raise files.unreachable(error) from error
    return found


def _read(files: PayloadFiles, by_age: list[RecordedFile], found: list[Record], last: int) -> Iterator[list[Record]]:
    for file in by_age:
        oldest_shown = found[-1]["time"] if len(found) >= last else None
        # Segments overlap: an older one may hold newer records, but none newer than it can have lived.
        if oldest_shown and _begun(file) + _SEGMENT_LIFE < oldest_shown:
            return
        with files.store.files.open_input_file(files.store.path(file.key)) as source:
            parquet = pq.ParquetFile(source)
            if oldest_shown and (newest := _newest(parquet)) and newest < oldest_shown:
                continue
            yield _last_rows(parquet.read(), last)


def _last_rows(table: pa.Table, last: int) -> list[Record]:
    order = pc.sort_indices(table, sort_keys=[("time", "descending"), ("row", "ascending")])
    rows: list[Record] = table.take(order[:last]).to_pylist()
    return rows


def _newest(parquet: pq.ParquetFile) -> datetime | None:
    """The time of the newest record in a file, by its statistics."""
    column = parquet.schema_arrow.names.index("time")  # the columns before it aren't nested
    groups = range(parquet.metadata.num_row_groups)
    known = [parquet.metadata.row_group(group).column(column).statistics for group in groups]
    times = [one.max for one in known if one is not None and one.has_min_max]
    return max(times) if len(times) == len(known) and times else None


def _begun(file: RecordedFile) -> datetime:
    match = _BEGUN.search(file.key)
    if match:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return datetime(file.day.year, file.day.month, file.day.day, tzinfo=UTC)
