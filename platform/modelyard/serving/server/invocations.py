"""Requests to `/invocations`: what MLflow's own scoring server takes, made what it would hand to the model, or refused.

Format: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ (`dataframe_split`, `dataframe_records`,
`instances`, `inputs`, and CSV). Columns that the signature doesn't have are ignored, as MLflow does.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from modelyard.serving.server.bodies import form_of, parse
from modelyard.serving.server.columns import ColumnInputs, Columns, objects
from modelyard.serving.server.errors import RequestError, listed
from modelyard.serving.server.invocation_csv import columns_from_csv
from modelyard.serving.server.invocation_response import response
from modelyard.serving.server.invocation_tensors import tensors_from_json
from modelyard.serving.server.parameters import params
from modelyard.serving.server.signature import Column
from modelyard.serving.server.tensors import Array
from modelyard.serving.server.values import column_array, numbers

__all__ = [
    "columns_from_csv",
    "columns_from_json",
    "extra_columns",
    "matrix_from_json",
    "params",
    "parse",
    "response",
    "tensors_from_json",
]
_CONTAINERS = {list, dict}
_NO_ROWS = "there is no row to predict"


def columns_from_json(inputs: ColumnInputs, body: Mapping[str, Any]) -> Columns:
    """Typed columns of a request in one of the four forms.

    Args:
        inputs: Of the model.
        body: The parsed request.

    Raises:
        RequestError: naming the column and row that isn't what the signature says.
    """
    form, data = form_of(body)
    if form == "dataframe_split":
        return inputs.checked(_from_split(inputs.columns, data))
    if form == "dataframe_records":
        return inputs.checked(_from_records(inputs.columns, _records(form, data), framed=True))
    if isinstance(data, list):
        if data and all(type(one) is dict for one in data):
            if form == "instances":
                _refuse_ragged(data)
            return inputs.checked(_from_records(inputs.columns, data, framed=False))
        if len(inputs.columns) != 1:
            raise RequestError(f"{form!r} has to be a list of objects or an object of lists: the columns have names")
        data = {inputs.columns[0].name: data}
    return inputs.checked(_from_lists(inputs.columns, form, data))


def matrix_from_json(columns: Sequence[Column], body: Mapping[str, Any]) -> Array | None:
    """A shortcut for columns of one number type, none of them optional, in plain rows.

    Args:
        columns: Of the signature.
        body: The parsed request.

    Returns:
        A 2-D array in C order, rows × columns, of the columns' dtype; None: take the general way, which also says what
        is wrong.
    """
    if len(body) > 2 or (len(body) == 2 and "params" not in body):
        return None
    first = columns[0].type
    if first not in ("double", "float", "long", "integer") or any(column.type != first for column in columns):
        return None
    names = [column.name for column in columns]
    try:
        if "dataframe_split" in body:
            rows = _plain_split(names, body["dataframe_split"])
        else:
            rows = _plain_records(names, body)
        if not rows:
            return None
        found = numbers("", list(chain.from_iterable(rows)), np.dtype(columns[0].dtype))
    except (KeyError, TypeError, RequestError):
        return None
    return found.reshape(len(rows), len(names))


def extra_columns(inputs: ColumnInputs, body: Mapping[str, Any]) -> list[str]:
    """Names that a request has and the signature hasn't, which are ignored.

    Args:
        inputs: Of the model.
        body: A request that `columns_from_json` took.
    """
    form, data = form_of(body)
    known = {column.name for column in inputs.columns}
    if form == "dataframe_split":
        names = data["columns"]
    elif isinstance(data, dict):
        names = list(data)
    else:
        names = list(dict.fromkeys(name for one in data if isinstance(one, dict) for name in one))
    return [str(name) for name in names if name not in known]


def _plain_split(names: list[str | None], split: Any) -> list[list[Any]] | None:
    """The rows, if they are lists of equal length in the signature's order."""
    if type(split) is not dict or len(split) != 2 or split["columns"] != names:
        return None
    rows = split["data"]
    if type(rows) is not list or set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
        return None
    return rows


def _plain_records(names: list[str | None], body: Mapping[str, Any]) -> list[list[Any]] | None:
    """The rows, if each has all columns and no other."""
    records = body["instances"] if "instances" in body else body["dataframe_records"]
    if type(records) is not list or set(map(type, records)) != {dict} or set(map(len, records)) != {len(names)}:
        return None
    return [[record[name] for name in names] for record in records]


def _from_split(columns: Sequence[Column], split: Any) -> dict[str, Array]:
    if type(split) is not dict or "data" not in split or not split.keys() <= {"columns", "data", "index"}:
        has = f"; it has {listed(split)}" if type(split) is dict else ""
        raise RequestError(f"dataframe_split has to be an object with 'columns', 'data' and maybe 'index'{has}")
    names, rows, index = split.get("columns"), split["data"], split.get("index")
    if type(names) is not list or any(type(name) in _CONTAINERS for name in names):
        raise RequestError("dataframe_split: 'columns' has to be a list of column names")
    if type(rows) is not list:
        raise RequestError("dataframe_split: 'data' has to be a list of rows, each a list of values")
    if not rows:
        raise RequestError(_NO_ROWS)
    if len(names) == 1 and not any(type(row) in _CONTAINERS for row in rows):
        rows = [[value] for value in rows]
    for at, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            has = f"has {len(row)} values" if type(row) is list else "is no list"
            raise RequestError(f"dataframe_split: row {at} {has}; there are {len(names)} columns: {listed(names)}")
    if index is not None:
        fits = type(index) is list and len(index) == len(rows) and not any(type(one) in _CONTAINERS for one in index)
        if not fits:
            raise RequestError(f"dataframe_split: 'index' has to be a list of {len(rows)} labels, one for each row")
    by_name = dict(zip(names, zip(*rows, strict=True), strict=True))
    for column in columns:
        if names.count(column.name) > 1:
            raise RequestError(f"dataframe_split: column {column.name!r} is there twice")
    return {
        str(column.name): column_array(column, by_name[column.name], framed=True)
        for column in columns
        if column.name in by_name
    }


def _records(form: str, data: Any) -> list[dict[str, Any]]:
    if type(data) is not list or not all(type(one) is dict for one in data):
        raise RequestError(f"{form} has to be a list of objects, each a row with its values by column name")
    if not data:
        raise RequestError(_NO_ROWS)
    return data


def _refuse_ragged(rows: list[dict[str, Any]]) -> None:
    names = rows[0].keys()
    for at, row in enumerate(rows):
        if row.keys() != names:
            odd = sorted(row.keys() ^ names)
            raise RequestError(f"instances: row {at} has other columns than row 0: they differ in {listed(odd)}")


def _from_records(columns: Sequence[Column], rows: list[dict[str, Any]], *, framed: bool) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for column in columns:
        name = str(column.name)
        try:
            found[name] = column_array(column, [row[name] for row in rows], framed=framed)
        except KeyError:
            with_it = [at for at, row in enumerate(rows) if name in row]
            if not with_it:
                continue
            if column.required:
                at = next(at for at, row in enumerate(rows) if name not in row)
                raise RequestError(f"column {name!r}, row {at}: it is missing; row {with_it[0]} has it") from None
            found[name] = _with_gaps(column, rows, with_it, framed=framed)
    return found


def _with_gaps(column: Column, rows: list[dict[str, Any]], with_it: list[int], *, framed: bool) -> Array:
    """An optional column that some rows don't have: there it is missing, if its type has a way to say so."""
    name = str(column.name)
    present = column_array(column, [rows[at][name] for at in with_it], framed=framed)
    if column.type == "string" or (column.type == "binary" and not framed):
        result = objects([math.nan] * len(rows))
        if any(value is not None for value in present):
            result[with_it] = present
        return result
    if present.dtype.kind not in "fM" or (column.type == "float" and not framed):
        at = next(at for at, row in enumerate(rows) if name not in row)
        raise RequestError(f"column {name!r}, row {at}: it is missing; a {column.type} can't be, in some rows only")
    result = np.full(len(rows), np.nan if present.dtype.kind == "f" else np.datetime64("NaT"), dtype=present.dtype)
    result[with_it] = present
    return result


def _from_lists(columns: Sequence[Column], form: str, data: Any) -> dict[str, Array]:
    if type(data) is not dict:
        raise RequestError(f"{form!r} has to be a list of objects or an object of lists")
    if data and not any(type(values) in _CONTAINERS for values in data.values()):
        return _from_one_row(columns, form, data)
    lengths = {name: len(values) if type(values) is list else None for name, values in data.items()}
    rows = next((length for length in lengths.values() if length is not None), 0)
    for name, length in lengths.items():
        if length is None:
            raise RequestError(f"column {name!r}: one value, but others have lists; give {rows} values in a list")
        if length != rows:
            first = next(name for name, length in lengths.items() if length == rows)
            raise RequestError(f"column {name!r} has {length} rows, {first!r} has {rows}")
    if data and not rows:
        raise RequestError(_NO_ROWS)
    return {
        str(column.name): column_array(column, data[column.name], framed=False)
        for column in columns
        if column.name in data
    }


def _from_one_row(columns: Sequence[Column], form: str, data: dict[str, Any]) -> dict[str, Array]:
    known = {column.name for column in columns}
    if extra := [name for name in data if name not in known]:
        raise RequestError(f"{form!r} with one value for each column: the model has no column {listed(extra)}")
    return {
        str(column.name): column_array(column, [data[column.name]], framed=False)
        for column in columns
        if column.name in data
    }
