"""Requests to `/invocations` as CSV."""

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.serving.server.columns import ColumnInputs, Columns, objects
from modelyard.serving.server.errors import RequestError, listed
from modelyard.serving.server.signature import Column
from modelyard.serving.server.tensors import Array

_WHOLE = re.compile(r"\s*[+-]?\d+\s*")


def columns_from_csv(inputs: ColumnInputs, text: str) -> Columns:
    """Typed columns of a CSV with a header, read as MLflow does (`pandas.read_csv` with the signature's types).

    An empty field is missing. A text that pandas takes for missing ("NA", "None", …) is refused in a string column.

    Args:
        inputs: Of the model.
        text: The CSV.

    Raises:
        RequestError: naming the column and row that isn't what the signature says.
    """
    import pandas as pd

    names, rows = _fields(text)
    by_name = {str(column.name): column for column in inputs.columns if column.name in names}
    for column in by_name.values():
        if column.type in ("datetime", "binary"):
            raise RequestError(f"column {column.name!r}: MLflow has no {column.type} in CSV; send it as JSON")
    try:
        frame = pd.read_csv(io.StringIO(text), dtype={name: column.dtype for name, column in by_name.items()})
    except (ValueError, OverflowError, TypeError) as error:
        raise _explained(by_name, names, rows, error) from error
    if len(frame) != len(rows) or not isinstance(frame.index, pd.RangeIndex):
        raise RequestError("this CSV can be read in more than one way: quote its fields")
    found: dict[str, Array] = {}
    for name, column in by_name.items():
        at = names.index(name)
        texts = [row[at] for row in rows]
        if column.type == "string":
            found[name] = _strings(column, texts, frame[name].tolist())
        else:
            found[name] = _numbers(column, texts, frame[name].to_numpy())
    return inputs.checked(found)


def _fields(text: str) -> tuple[list[str], list[list[str]]]:
    """The header and every row, all as long as the header."""
    try:
        lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True))
    except csv.Error as error:
        raise RequestError(f"the request is not valid CSV: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 2:
        raise RequestError("the CSV has no row to predict: it needs a header with the column names, then the rows")
    names = lines[0]
    if double := {name for name in names if names.count(name) > 1}:
        raise RequestError(f"the CSV's header has {listed(sorted(double))} twice")
    for at, row in enumerate(lines[1:]):
        if len(row) != len(names):
            raise RequestError(f"row {at} of the CSV has {len(row)} fields; its header has {len(names)}")
    return names, lines[1:]


def _strings(column: Column, texts: list[str], values: list[Any]) -> Array:
    for at, (text, value) in enumerate(zip(texts, values, strict=True)):
        if text and value != text:
            raise RequestError(
                f"column {column.name!r}, row {at}: MLflow takes the text {text!r} for a missing value; send it as JSON"
            )
    return objects(values)


def _numbers(column: Column, texts: list[str], values: Array) -> Array:
    kind = values.dtype.kind
    for at, (text, value) in enumerate(zip(texts, values.tolist(), strict=True)):
        if kind == "i":
            right = _whole(text) == value
        elif kind == "b":
            right = _truth(text) is value
        else:
            right = math.isnan(value) or (_is_number(text) and (not math.isinf(value) or "inf" in text.lower()))
        if not right:
            raise _invalid(column, at, text)
    return values


def _invalid(column: Column, at: int, text: str) -> RequestError:
    shown = text if len(text) <= 40 else f"{text[:37]}…"
    return RequestError(f"column {column.name!r}, row {at}: {shown!r} is not valid; it takes {column.type}")


def _explained(
    by_name: dict[str, Column], names: Sequence[str], rows: list[list[str]], error: Exception
) -> RequestError:
    """Which field it was: pandas doesn't always say."""
    for name, column in by_name.items():
        kind = np.dtype(column.dtype).kind
        for at, row in enumerate(rows):
            text = row[names.index(name)]
            if kind == "i" and _whole(text) is None:
                return _invalid(column, at, text)
            if kind == "b" and _truth(text) is None:
                return _invalid(column, at, text)
            if kind == "f" and not _is_number(text):
                return _invalid(column, at, text)
    return RequestError(f"the CSV doesn't fit the signature: {error}")


def _truth(text: str) -> bool | None:
    number = _whole(text)
    if number in (0, 1):
        return number == 1
    return {"true": True, "false": False}.get(text.lower())


def _whole(text: str) -> int | None:
    """The number, if it is a whole one, also as `1.0` as long as a double has it exactly."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if not text or not _is_number(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= 2**53 else None


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
