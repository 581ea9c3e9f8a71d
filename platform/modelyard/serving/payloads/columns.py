"""Arrays of any kind as columns that can be written as bytes: numbers as they are, everything else as JSON lists."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson

from modelyard.serving.payloads.batches import Array

Form = Literal["numbers", "text", "binary", "nothing"]
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_COARSE_UNITS = {"h": "s", "m": "s", "M": "D", "Y": "D", "W": "D"}  # units that Arrow doesn't have


@dataclass(slots=True)
class Column:
    """One or several columns of a frame.

    Attributes:
        names: One, or for `numbers` in two dimensions one for each place along the second.
        form: `numbers`: `values` is an array; `text`: a list of texts and None; `binary`: a list of base64 texts and
            None; `nothing`: None in each row, `values` is their number.
        missing: Rows of `numbers` that were None.
        is_matrix: Whether each place along the second axis is a column of its own.
    """

    names: tuple[str, ...]
    form: Form
    values: Any
    missing: Sequence[int] = ()
    is_matrix: bool = False


def column(name: str, array: Array, redact: frozenset[str] = frozenset()) -> Column:
    """An array, whose first axis is the rows, as a column.

    Args:
        name: The column's.
        array: Its values.
        redact: Keys that are left out of values that are objects themselves.
    """
    kind = array.dtype.kind
    if kind in "biufmM":
        return Column((name,), "numbers", storable(array))
    values = without(array.tolist(), redact)
    if array.ndim > 1:
        return Column((name,), "text", [as_json(one) for one in values])
    return _of_objects(name, values)


def text_column(name: str, array: Array, rows: Sequence[int], redact: frozenset[str] = frozenset()) -> Column:
    """An array that isn't one value per row: as JSON text, at the first row of each request."""
    text = as_json(array if array.dtype.kind in "biuf" else without(array.tolist(), redact))
    return Column((name,), "text", [text if row == 0 else None for count in rows for row in range(count)])


def storable(array: Array) -> Array:
    """Numbers in C order, little-endian, of a type that Arrow has."""
    dtype = array.dtype.newbyteorder("<")
    if dtype.kind == "f" and dtype.itemsize > 8:
        dtype = np.dtype("<f8")
    if dtype.kind in "mM":
        unit = np.datetime_data(dtype)[0]
        dtype = np.dtype(f"<{dtype.kind}8[{_COARSE_UNITS.get(unit, unit)}]")
    return np.ascontiguousarray(array, dtype=dtype)


def as_json(value: object) -> str:
    """A value as JSON text; what JSON doesn't know becomes text."""
    try:
        return orjson.dumps(value, default=_simpler, option=_JSON).decode()
    except TypeError:
        return orjson.dumps(clean(repr(value))).decode()


def without(value: Any, redact: frozenset[str]) -> Any:
    """A value without the keys that mustn't be stored, however deep they are.

    >>> without([{"id": 1, "more": {"ssn": 2}}], frozenset({"ssn"}))
    [{'id': 1, 'more': {}}]
    """
    if not redact:
        return value
    if isinstance(value, dict):
        return {key: without(one, redact) for key, one in value.items() if key not in redact}
    return [without(one, redact) for one in value] if isinstance(value, (list, tuple)) else value


def clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def _simpler(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return value.tolist() if hasattr(value, "tolist") else clean(str(value))


def _of_objects(name: str, values: list[Any]) -> Column:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return Column((name,), "nothing", len(values))
    if kinds == {str}:
        return Column((name,), "text", values)
    if kinds == {bytes}:
        return Column((name,), "binary", [one if one is None else base64.b64encode(one).decode() for one in values])
    for wanted, dtype in (({bool}, "bool"), ({int}, "<i8"), ({int, float}, "<f8")):
        if kinds <= wanted:
            missing = [row for row, one in enumerate(values) if one is None]
            try:
                return Column((name,), "numbers", np.array([one or 0 for one in values], dtype=dtype), missing)
            except OverflowError:
                break
    return Column((name,), "text", [None if one is None else as_json(one) for one in values])
