"""What the server hands to its payload log."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
_BATCH_BYTES, _REQUEST_BYTES = 700, 100


@dataclass(slots=True)
class Matrix:
    """Inputs of one number type.

    Attributes:
        names: Of the columns; best the same tuple object each time.
        values: 2-D, rows × columns.
    """

    names: tuple[str, ...]
    values: Array


@dataclass(slots=True)
class Columns:
    """Inputs by name: 1-D or n-D arrays whose first axis is the rows.

    An array of another length is stored as JSON text, at each request's first row.
    """

    values: Mapping[str, Array]


@dataclass(slots=True)
class PayloadBatch:
    """Requests that were answered. Its arrays must not be changed afterwards: they are kept, not copied.

    Attributes:
        model: The model's name.
        version: The version that answered.
        time_ns: When, in nanoseconds since 1970 (UTC).
        request_ids: One for each request.
        rows: How many rows each request has; they follow each other in the arrays.
        inputs: As the model got them.
        outputs: Like `Columns`.
    """

    model: str
    version: str
    time_ns: int
    request_ids: Sequence[str]
    rows: Sequence[int]
    inputs: Matrix | Columns
    outputs: Mapping[str, Array]


def held_bytes(batch: PayloadBatch) -> int:
    """About how much memory a batch keeps from being freed; an array that is part of a larger one counts as that."""
    inputs = batch.inputs
    total = _BATCH_BYTES + _REQUEST_BYTES * len(batch.request_ids) + _bytes(batch.outputs.values())
    return total + _bytes((inputs.values,) if isinstance(inputs, Matrix) else inputs.values.values())


def _bytes(arrays: Iterable[Array]) -> int:
    total = 0
    for array in arrays:
        total += array.nbytes
        if array.base is not None:
            total += max(0, getattr(array.base, "nbytes", 0) - array.nbytes)
        if array.dtype.hasobject:
            total += sum(map(_object_bytes, array.ravel().tolist()))
    return total


def _object_bytes(value: object) -> int:
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return size + sum(_object_bytes(key) + _object_bytes(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return size + sum(map(_object_bytes, value))
    return size
