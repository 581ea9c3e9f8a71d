"""JSON values of one column or tensor as the array that MLflow's server would make of them, or refused.

MLflow casts: `1.7` to 1, `"false"` to true, 3000000000 to a negative int32, null to "None". Whatever would be another
value than was sent is refused here; what MLflow casts without loss (`1.0` to 1, 0 to false, null to NaN) is taken.

A decimal number becomes the nearest one that the type has, as everywhere in JSON.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from modelyard.serving.server.columns import convert, objects
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.signature import Column
from modelyard.serving.server.tensors import Array

_NONE = type(None)
_EXACT = 2**53
"""Beyond it a float isn't one whole number but several."""
_DATETIME = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?")
_VALID = {
    "b": "true or false, or 1 or 0",
    "i": "whole numbers",
    "u": "whole numbers that aren't negative",
    "f": "numbers, null for missing",
}


def column_array(column: Column, values: Sequence[Any], *, framed: bool) -> Array:
    """A column's values in its type.

    Args:
        column: Of the signature; of a scalar type.
        values: From JSON, one for each row.
        framed: They came in `dataframe_split` or `dataframe_records`: there null may be a missing string, and binary
            is base64. In `instances` and `inputs` MLflow makes the text "None" of such a null, and takes the bytes of
            an ASCII text.

    Raises:
        RequestError: naming the column, the row and what is valid.
    """
    what = f"column {column.name!r}"
    if column.type == "string":
        return _framed_strings(what, values) if framed else strings(what, values)
    if column.type == "binary":
        return _base64(what, values) if framed else ascii_bytes(what, values)
    if column.type == "datetime":
        return _datetimes(column, what, values, framed=framed)
    return numbers(what, values, np.dtype(column.dtype))


def numbers(what: str, flat: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """Numbers or booleans from JSON as a 1-D array.

    Args:
        what: Whose they are, for messages.
        flat: The values.
        dtype: A number type or bool.

    Raises:
        RequestError: a value is of another type, or this one doesn't hold it.
    """
    types = set(map(type, flat))
    kind = dtype.kind
    if kind == "f":
        return _floats(what, flat, types, dtype)
    if kind == "b":
        if types <= {bool}:
            return np.array(flat, dtype=dtype)
        if not types <= {bool, int, float} or not all(value in (0, 1) for value in flat):
            _refuse(what, flat, lambda value: type(value) in (bool, int, float) and value in (0, 1), dtype)
        return np.array([value == 1 for value in flat], dtype=dtype)
    if kind not in "iu":
        raise RequestError(f"{what}: {dtype} can't come as JSON")
    if not types <= {int}:
        if not types <= {int, float} or not all(map(_is_whole, flat)):
            _refuse(what, flat, _is_whole, dtype)
        flat = [int(value) for value in flat]
    try:
        return np.array(flat, dtype=dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        _refuse(what, flat, lambda value: limits.min <= value <= limits.max, dtype)


def strings(what: str, flat: Sequence[Any]) -> Array:
    """Strings from `instances` or `inputs` as a 1-D object array.

    Args:
        what: Whose they are, for messages.
        flat: The values.

    Raises:
        RequestError: a value isn't a string, or ends with the character 0, which MLflow would cut off.
    """
    if not set(map(type, flat)) <= {str}:
        valid = "strings (missing ones only in dataframe_split or dataframe_records)"
        _refuse(what, flat, lambda value: type(value) is str, valid)
    if any(value[-1:] == "\0" for value in flat):
        _refuse(what, flat, lambda value: value[-1:] != "\0", "strings that don't end with the character 0")
    return objects(flat)


def ascii_bytes(what: str, flat: Sequence[Any]) -> Array:
    """Bytes sent as an ASCII text, not in base64, as MLflow has them in `instances` and `inputs`.

    Args:
        what: Whose they are, for messages.
        flat: The values.

    Raises:
        RequestError: a value isn't an ASCII text, or ends with the character 0, which MLflow would cut off.
    """

    def fits(value: Any) -> bool:
        return type(value) is str and value.isascii() and value[-1:] != "\0"

    if not all(map(fits, flat)):
        _refuse(what, flat, fits, "ASCII text here (base64 only in dataframe_split or dataframe_records)")
    return objects([value.encode() for value in flat])


def _floats(what: str, flat: Sequence[Any], types: set[type], dtype: np.dtype[Any]) -> Array:
    if not types <= {int, float, _NONE}:
        _refuse(what, flat, lambda value: type(value) in (int, float, _NONE), dtype)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
    except OverflowError:
        _refuse(what, flat, lambda value: value is None or abs(value) < 2**1023, dtype)
    if dtype.itemsize < 8 and (np.abs(array) >= _EXACT).any() and not all(_fits(value, dtype) for value in flat):
        _refuse(what, flat, lambda value: _fits(value, dtype), dtype)
    return array


def _framed_strings(what: str, values: Sequence[Any]) -> Array:
    types = set(map(type, values))
    if types <= {str}:
        return objects(values)
    if not types <= {str, _NONE, float} or (float in types and any(type(x) is float and x == x for x in values)):  # noqa: PLR0124 (NaN)
        _refuse(what, values, lambda x: x is None or type(x) is str or x != x, "strings, null for missing")  # noqa: PLR0124
    if float in types:
        return objects([value if type(value) is str else math.nan for value in values])
    return objects(values)


def _base64(what: str, values: Sequence[Any]) -> Array:
    found = [_decoded(value) for value in values]
    if None in found:
        _refuse(what, values, lambda value: _decoded(value) is not None, "bytes in base64")
    return objects(found)


def _decoded(value: Any) -> bytes | None:
    if type(value) is not str:
        return None
    text = value.replace("\n", "").replace("\r", "")
    try:
        found = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return found if base64.b64encode(found).decode() == text else None


def _datetimes(column: Column, what: str, values: Sequence[Any], *, framed: bool) -> Array:
    def fits(value: Any) -> bool:
        return value is None or (type(value) is str and bool(_DATETIME.fullmatch(value)))

    if not all(map(fits, values)):
        _refuse(what, values, fits, "ISO 8601 without a time zone, such as 2026-01-31T09:30:00, null for missing")
    if not framed:
        return convert(column, objects(values))
    import pandas as pd

    try:
        parsed = pd.to_datetime(pd.Series(values, dtype=object))
        return np.asarray(parsed.dt.as_unit("ns").to_numpy())
    except ValueError as error:
        first = str(error).split(". You might", maxsplit=1)[0]
        raise RequestError(f"{what}: {first}; all datetimes of a request have to be written alike") from error


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer() and abs(value) <= _EXACT)


def _fits(value: float | None, dtype: np.dtype[Any]) -> bool:
    """Whether a float type holds a large number; large ints exactly: MLflow rounds them once (int64 to float32),
    NumPy twice (by way of float64)."""
    if value is None or not math.isfinite(value):
        return True
    with np.errstate(over="ignore"):
        found = np.array(value, dtype=dtype)
    return bool(np.isfinite(found)) and (type(value) is float or abs(value) <= _EXACT or int(found) == value)


def _refuse(what: str, values: Sequence[Any], fits: Callable[[Any], bool], valid: str | np.dtype[Any]) -> NoReturn:
    """The error about the first value that isn't right."""
    at, bad = next((at, value) for at, value in enumerate(values) if not fits(value))
    text = str(bad).lower() if type(bad) is bool else "null" if bad is None else repr(bad)
    shown = text if len(text) <= 40 else f"{text[:37]}…"
    if isinstance(valid, np.dtype):
        fitting = "" if valid.kind == "b" else f" that fit into {valid}"
        valid = _VALID[valid.kind].replace("numbers", f"numbers{fitting}", 1)
    raise RequestError(f"{what}, row {at}: {shown} is not valid; it takes {valid}")
