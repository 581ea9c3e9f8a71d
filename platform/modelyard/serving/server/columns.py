"""Inputs of a model with named columns of scalar types, made what MLflow would make of them, or refused.

Which conversions lose nothing is MLflow's rule (`mlflow.models.utils._enforce_mlflow_datatype`); where MLflow's own
server would round or guess, the request is refused, so that an answer is never about other values than were sent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.serving.server.datatypes import OF_COLUMN
from modelyard.serving.server.errors import RequestError, did_you_mean, listed
from modelyard.serving.server.signature import Column
from modelyard.serving.server.tensors import Array, InputTensor, as_array

_DATETIME = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?")
_PLAIN: dict[str, tuple[type, ...]] = {
    "double": (float, int),
    "long": (int,),
    "integer": (int,),
    "boolean": (bool,),
    "string": (str,),
}
_FROM_FLOAT = {"float": ("float16", "float32"), "double": ("float16", "float32", "float64")}
_FROM_INT = {
    "integer": ("int8", "int16", "int32", "uint8", "uint16"),
    "long": ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
    "double": ("int8", "int16", "int32", "uint8", "uint16", "uint32"),
    "float": (),
}


@dataclass(slots=True)
class Columns:
    """Typed columns of one request or one batch, in the signature's order.

    Attributes:
        values: 1-D arrays, all of length `rows`; an optional column that wasn't sent isn't there.
    """

    rows: int
    values: dict[str, Array]

    @property
    def kind(self) -> tuple[tuple[str, str], ...]:
        """Names and dtypes: columns of one kind can be joined without changing what the model gets.

        A column of nothing but missing objects is of a kind of its own: pandas makes no text of it.
        """
        return tuple((name, _kind(values)) for name, values in self.values.items())

    def part(self, start: int, end: int) -> "Columns":
        """The rows from `start` to `end`."""
        return Columns(end - start, {name: values[start:end] for name, values in self.values.items()})


def _kind(values: Array) -> str:
    if values.dtype.kind == "O" and all(one is None for one in values):
        return "missing"
    return values.dtype.str


def joined(many: Sequence[Columns]) -> Columns:
    """The rows of several, all of one kind, one after the other."""
    if len(many) == 1:
        return many[0]
    values = {name: np.concatenate([one.values[name] for one in many]) for name in many[0].values}
    return Columns(sum(one.rows for one in many), values)


class ColumnInputs:
    """How requests become `Columns`.

    Args:
        columns: Of the model's signature.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._by_name = {str(column.name): column for column in columns}
        self._plain = [
            (str(column.name), OF_COLUMN[column.type], np.dtype(column.dtype), frozenset(_PLAIN.get(column.type, ())))
            for column in columns
        ]

    def from_plain(self, tensors: list[dict[str, Any]]) -> Columns | None:
        """All columns in the signature's order and types, without nesting or missing values; None: it isn't so."""
        if len(tensors) != len(self._plain):
            return None
        values: dict[str, Array] = {}
        try:
            rows = len(tensors[0]["data"])
            shapes = ([rows], [rows, 1])
            for (name, datatype, dtype, allowed), tensor in zip(self._plain, tensors, strict=True):
                data = tensor["data"]
                if tensor["name"] != name or tensor["datatype"] != datatype or tensor["shape"] not in shapes:
                    return None
                if type(data) is not list or len(data) != rows or not allowed.issuperset(map(type, data)):
                    return None
                if "binary_data_size" in tensor.get("parameters", ()):
                    return None
                values[name] = np.array(data, dtype=dtype)
        except (KeyError, TypeError, AttributeError, OverflowError):
            return None
        return Columns(rows, values) if rows else None

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Columns:
        """The inputs of a V2 request, one tensor per column.

        Raises:
            RequestError: naming the first column that isn't right.
        """
        found: dict[str, Array] = {}
        for tensor in tensors:
            if tensor.name not in self._by_name:
                hint = did_you_mean(tensor.name, self._by_name)
                raise RequestError(f"the model has no input {tensor.name!r}{hint}; it has {listed(self._by_name)}")
            if tensor.name in found:
                raise RequestError(f"input {tensor.name!r} is there twice")
            column = self._by_name[tensor.name]
            found[tensor.name] = convert(column, _one_dimensional(tensor, as_array(tensor)))
        return self.checked(found)

    def checked(self, found: Mapping[str, Array]) -> Columns:
        """Typed columns, all there and equally long, in the signature's order.

        Args:
            found: By name, each as `convert` returns it; none that the signature doesn't have.

        Raises:
            RequestError: naming what is missing or of another length.
        """
        missing = [name for name, column in self._by_name.items() if column.required and name not in found]
        if missing:
            extra = f"; there are {listed(found)}" if found else ""
            raise RequestError(f"required inputs are missing: {listed(missing)}{extra}")
        lengths = {name: len(values) for name, values in found.items()}
        rows = next(iter(lengths.values()), 0)
        for name, length in lengths.items():
            if length != rows:
                first = next(iter(lengths))
                raise RequestError(f"input {name!r} has {length} rows, {first!r} has {rows}")
        if not rows:
            raise RequestError("there is no row to predict")
        return Columns(rows, {name: found[name] for name in self._by_name if name in found})


def convert(column: Column, values: Array) -> Array:
    """Values as the dtype of a column, if nothing is lost by that.

    Args:
        column: Of the signature.
        values: 1-D; of the dtype in which they were sent.

    Raises:
        RequestError: they can't be had in the column's type without loss.
    """
    kind = values.dtype.kind
    if column.type in ("string", "binary", "datetime"):
        if kind != "O":
            raise _wrong_type(column, values)
        return {"string": _strings, "binary": _binaries, "datetime": _datetimes}[column.type](column, values)
    if values.dtype.name == column.dtype:
        return values
    if kind == "f" and values.dtype.name in _FROM_FLOAT.get(column.type, ()):
        return values.astype(column.dtype)
    if kind in "iu" and values.dtype.name in _FROM_INT.get(column.type, ()):
        return values.astype(column.dtype)
    if values.dtype == np.int64 and column.type in _FROM_FLOAT and ((values == 0) | (values == 1)).all():
        return values.astype(column.dtype)
    raise _wrong_type(column, values)


def _wrong_type(column: Column, values: Array) -> RequestError:
    sent = "BYTES" if values.dtype.kind == "O" else values.dtype.name
    return RequestError(
        f"input {column.name!r}: {sent} can't become {column.type} without loss; send it as {OF_COLUMN[column.type]}"
    )


def _one_dimensional(tensor: InputTensor, array: Array) -> Array:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return array.reshape(-1)
    raise RequestError(f"input {tensor.name!r}: a column has shape [rows] or [rows, 1], not {list(array.shape)}")


def _strings(column: Column, values: Array) -> Array:
    if not any(type(one) is bytes for one in values):
        return values
    try:
        return objects([one.decode() if type(one) is bytes else one for one in values])
    except UnicodeDecodeError as error:
        raise RequestError(f"input {column.name!r}: a value is not valid UTF-8: {error}") from error


def _binaries(_: Column, values: Array) -> Array:
    return objects([one.encode() if type(one) is str else one for one in values])


def _datetimes(column: Column, values: Array) -> Array:
    texts = _strings(column, values)
    for at, text in enumerate(texts):
        if text is not None and not _DATETIME.fullmatch(text):
            raise RequestError(
                f"input {column.name!r}: value {at} is {text!r}; a datetime is ISO 8601 without a time zone, "
                "for example 2026-01-31T09:30:00"
            )
    try:
        exact = np.array(texts, dtype="datetime64[ns]")
        coarse = np.array(texts, dtype="datetime64[us]")
    except ValueError as error:
        raise RequestError(f"input {column.name!r}: {error}") from error
    wrapped = exact.astype("datetime64[us]") != coarse
    if (wrapped & ~np.isnat(coarse)).any():
        raise RequestError(f"input {column.name!r}: value {wrapped.argmax()} is outside of the years 1678 to 2261")
    return exact


def objects(values: Sequence[object]) -> Array:
    """Python objects as a 1-D array, whatever they look like to NumPy.

    >>> objects([b"a", None]).shape
    (2,)
    """
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
