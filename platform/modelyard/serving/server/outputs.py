"""What a model answered, as arrays with names, however its flavour returns them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson

from modelyard.serving.server.columns import objects
from modelyard.serving.server.tensors import Array

DEFAULT_NAME = "output-0"
Form = Literal["array", "frame", "mapping", "other"]


@dataclass(slots=True)
class Output:
    """A prediction.

    Attributes:
        form: `array`: the model returned one array; `frame`: a DataFrame or Series; `mapping`: a dict of arrays;
            `other`: something that only JSON can hold, which `plain` then is.
        arrays: By V2 output name; for `frame`, the columns.
        plain: The prediction itself for `other`, else None.
    """

    form: Form
    arrays: dict[str, Array]
    plain: Any = None

    def part(self, start: int, end: int) -> "Output":
        """The rows from `start` to `end` of a row-wise prediction."""
        return Output(self.form, {name: array[start:end] for name, array in self.arrays.items()})

    def rows(self) -> int | None:
        """How many rows it has; None: its arrays have no common first axis."""
        lengths = {len(array) if array.ndim else -1 for array in self.arrays.values()}
        return lengths.pop() if len(lengths) == 1 and self.form != "other" else None


def output(raw: Any, names: Sequence[str] = ()) -> Output:
    """A prediction as arrays.

    Args:
        raw: What the model returned.
        names: Output names of the signature, used where the model returns arrays without names.
    """
    if isinstance(raw, np.ndarray):
        return Output("array", {names[0] if len(names) == 1 else DEFAULT_NAME: raw})
    kind = type(raw).__name__
    if kind == "DataFrame" and hasattr(raw, "iloc"):
        return Output("frame", {str(column): _column(raw[column]) for column in raw.columns})
    if kind == "Series" and hasattr(raw, "iloc"):
        return Output("frame", {str(0 if raw.name is None else raw.name): _column(raw)})
    if isinstance(raw, Mapping) and raw and all(isinstance(value, np.ndarray) for value in raw.values()):
        return Output("mapping", {str(name): value for name, value in raw.items()})
    if hasattr(raw, "toarray") and hasattr(raw, "nnz"):  # a sparse matrix
        return output(raw.toarray(), names)
    return Output("other", {DEFAULT_NAME: _listed(raw)}, plain=raw)


def joined(parts: Sequence[Output]) -> Output:
    """The prediction of all rows, from those of some rows each."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Output(first.form, {name: np.concatenate([part.arrays[name] for part in parts]) for name in first.arrays})


def _column(series: Any) -> Array:
    array = series.to_numpy()
    return np.asarray(array) if array.dtype.kind in "biufM" else objects([_missing_as_none(one) for one in array])


def _missing_as_none(value: Any) -> Any:
    """pandas writes a missing string as NaN: no output of text should hold a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _listed(raw: Any) -> Array:
    if isinstance(raw, list) and raw:
        if all(isinstance(one, str) for one in raw):
            return objects(raw)
        if all(isinstance(one, (bool, int, float)) for one in raw):
            array = np.array(raw)
            if array.dtype.kind in "biuf":
                return array
        return objects([_json(one) for one in raw])
    return objects([raw if isinstance(raw, str) else _json(raw)])


def _json(value: Any) -> str:
    try:
        options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(value, default=_as_json, option=options).decode()
    except TypeError:  # whole numbers of more than 64 bits
        return json.dumps(value, default=_as_json)


def _as_json(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "to_dict"):
        return value.to_dict("records") if hasattr(value, "columns") else value.to_dict()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return str(value)
