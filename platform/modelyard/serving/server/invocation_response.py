"""Answers of `/invocations`."""

import base64
import datetime
import json
from typing import Any

import numpy as np
import orjson

from modelyard.serving.server.errors import ModelFailed
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array

_PLAIN = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


def response(output: Output) -> bytes:
    """`{"predictions": …}`: what MLflow's scoring server answers with, but valid JSON: NaN and infinity become null.

    DataFrames are lists of objects, datetimes ISO 8601 as MLflow writes them, bytes base64 in lines.

    Args:
        output: The prediction.

    Raises:
        ModelFailed: JSON can't hold it.
    """
    if output.form == "array":
        array = next(iter(output.arrays.values()))
        if array.dtype.kind in "fiub" and array.ndim:
            return orjson.dumps({"predictions": _numbers(array)}, option=orjson.OPT_SERIALIZE_NUMPY)
        found: Any = array.tolist()
    elif output.form == "frame":
        found = _records(output.arrays)
    elif output.form == "mapping":
        found = output.arrays
    else:
        found = output.plain
    try:
        return orjson.dumps({"predictions": found}, default=_plain, option=_PLAIN)
    except TypeError:
        return _with_large_numbers(found)


def _numbers(array: Array) -> Array:
    """As MLflow's text has them: the decimals of float32 are those of the double."""
    if array.dtype.kind == "f" and array.dtype != np.float64:
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)


def _records(arrays: dict[str, Array]) -> list[dict[str, Any]]:
    columns = [_isoformat(array) if array.dtype.kind == "M" else array.tolist() for array in arrays.values()]
    names = list(arrays)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _isoformat(array: Array) -> list[str]:
    import pandas as pd

    return [one.isoformat() for one in pd.Series(array)]


def _plain(value: Any) -> Any:
    """What MLflow's encoder makes of types that JSON doesn't have.

    Raises:
        TypeError: it has nothing for it.
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float):
        return float(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _with_large_numbers(found: Any) -> bytes:
    try:
        return json.dumps({"predictions": found}, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFailed(f"the model's answer can't be written as JSON: {error}") from error
