"""Labels from a file that a person or a program has: CSV, JSON lines or Parquet."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from modelyard.errors import ModelyardError

KINDS = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class LabelColumns:
    """Which columns of the file are what.

    Attributes:
        label: What was the truth.
        request_id: Of the request.
        row: Index of the row in its request; only needed for requests of several rows.
    """

    label: str = "label"
    request_id: str = "request_id"
    row: str = "row"


@dataclass(frozen=True)
class Labels:
    """What a file says, each row of a request once.

    Attributes:
        table: `request_id` (string), `row` (int32), `label` (double, bool or string).
        count: Lines of the file.
        duplicates: Lines that a later one about the same row replaced.
        empty: Lines without a label or a request id.
        has_rows: Whether the file says which row of a request is meant.
    """

    table: pa.Table
    count: int
    duplicates: int
    empty: int
    has_rows: bool


def read_labels(path: Path, columns: LabelColumns) -> Labels:
    """Read labels.

    Args:
        path: The file; its suffix says what it is.
        columns: What its columns are called.

    Raises:
        ModelyardError: the file isn't there or can't be read, or a column is missing.
    """
    try:
        names = _names(path)
        for wanted in (columns.request_id, columns.label):
            if wanted not in names:
                raise ModelyardError(
                    f"{path} has no column {wanted!r}; it has: {', '.join(names)}",
                    fix="name the right one with --id-column or --label-column",
                )
        has_rows = columns.row in names
        raw = _table(path, columns, has_rows)
        ids = pc.cast(raw[columns.request_id], pa.string())
        row = pc.cast(raw[columns.row], pa.int32()) if has_rows else pa.repeat(pa.scalar(0, pa.int32()), len(raw))
        table = pa.table({"request_id": ids, "row": pc.fill_null(row, 0), "label": _label(raw[columns.label])})
    except (OSError, pa.ArrowException) as error:
        raise ModelyardError(
            f"the labels in {path} can't be read: {error}", fix="valid: CSV with a header, JSON lines, Parquet"
        ) from error
    full = table.filter(pc.and_(table["request_id"].is_valid(), table["label"].is_valid()))
    kept = _latest(full)
    return Labels(kept, len(table), len(full) - len(kept), len(table) - len(full), has_rows)


def _names(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with pyarrow.csv.open_csv(path) as reader:
            return list(reader.schema.names)
    if path.suffix == ".jsonl":
        return list(pyarrow.json.read_json(path).schema.names)
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    raise ModelyardError(f"{path} is no file of labels", fix=f"valid suffixes: {', '.join(KINDS)}")


def _table(path: Path, columns: LabelColumns, has_rows: bool) -> pa.Table:
    wanted = [columns.request_id, columns.label] + ([columns.row] if has_rows else [])
    if path.suffix == ".csv":
        options = pyarrow.csv.ConvertOptions(
            include_columns=wanted, column_types={columns.request_id: pa.string()}, strings_can_be_null=True
        )
        return pyarrow.csv.read_csv(path, convert_options=options)
    if path.suffix == ".jsonl":
        return pyarrow.json.read_json(path).select(wanted)
    return pq.read_table(path, columns=wanted)


def _label(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of all kinds become double, so that the files of many days go together."""
    if pa.types.is_boolean(values.type):
        return values
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        return pc.cast(values, pa.float64(), safe=False)
    return pc.cast(values, pa.string())


def _latest(table: pa.Table) -> pa.Table:
    """Of lines about the same row of a request, the last."""
    numbered = table.append_column("line", pa.array(range(len(table)), pa.int64()))
    last = numbered.group_by(["request_id", "row"]).aggregate([("line", "max")])["line_max"]
    return table.take(last.take(pc.sort_indices(last)))
