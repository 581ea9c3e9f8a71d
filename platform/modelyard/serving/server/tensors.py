"""One tensor as a client sent it, and the NumPy array that it is once everything about it has been checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.serving.server.datatypes import DTYPES
from modelyard.serving.server.errors import RequestError, listed

Array = NDArray[Any]
MAX_DIMENSIONS = 32
_JSON_TYPES: dict[str, tuple[set[type], str]] = {
    "b": ({bool}, "true or false"),
    "i": ({int}, "whole numbers"),
    "u": ({int}, "whole numbers that aren't negative"),
    "f": ({int, float, type(None)}, "numbers, null for missing"),
    "O": ({str, bytes, type(None)}, "strings"),
}


@dataclass(slots=True)
class InputTensor:
    """An input of a V2 request.

    Attributes:
        shape: As the client says.
        data: A list (flat, or nested like the shape) from JSON; an array if it came as raw bytes.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Any
    parameters: dict[str, Any] = field(default_factory=dict)


def as_array(tensor: InputTensor) -> Array:
    """The tensor's values.

    Args:
        tensor: As the client sent it.

    Returns:
        An array of the declared shape and datatype; BYTES become an object array of str or bytes.

    Raises:
        RequestError: datatype, shape and data don't go together.
    """
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise RequestError(f"input {tensor.name!r}: datatype {tensor.datatype!r} is none of {listed(DTYPES)}")
    shape = _checked_shape(tensor)
    if isinstance(tensor.data, np.ndarray):
        return tensor.data.reshape(shape)
    if not isinstance(tensor.data, list):
        raise RequestError(f"input {tensor.name!r}: data has to be a list")
    flat = _flat(tensor, shape)
    if len(flat) != math.prod(shape):
        raise RequestError(
            f"input {tensor.name!r}: shape {list(shape)} has {math.prod(shape)} values, data has {len(flat)}"
        )
    return numbers(f"input {tensor.name!r}", flat, dtype).reshape(shape)


def numbers(what: str, flat: list[Any], dtype: np.dtype[Any]) -> Array:
    """Values from JSON as a 1-D array of exactly one type.

    Args:
        what: Whose values these are, for messages.
        flat: The values.
        dtype: What they have to be.

    Raises:
        RequestError: a value is of another type, or too large for this one.
    """
    allowed, described = _JSON_TYPES[dtype.kind]
    if not set(map(type, flat)) <= allowed:
        at, bad = next((i, value) for i, value in enumerate(flat) if type(value) not in allowed)
        raise RequestError(f"{what}: value {at} is {_shown(bad)}; {dtype} takes {described}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
    except (OverflowError, ValueError) as error:
        at, bad = next((i, value) for i, value in enumerate(flat) if not _fits(value, dtype))
        raise RequestError(f"{what}: value {at} is {_shown(bad)}, which doesn't fit into {dtype}") from error
    if dtype.kind == "f" and dtype.itemsize < 8 and np.isinf(array).any():
        at = int(np.isinf(array).argmax())
        if not math.isinf(flat[at]):
            raise RequestError(f"{what}: value {at} is {_shown(flat[at])}, which doesn't fit into {dtype}")
    return array


def raw_array(name: str, datatype: str, raw: bytes | memoryview) -> Array:
    """Values sent as raw bytes: little-endian, row-major; BYTES each with their length as 4 bytes before them.

    Source: Triton's binary tensor data extension,
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

    Raises:
        RequestError: the bytes are no such array.
    """
    if datatype == "BYTES":
        return _raw_strings(name, bytes(raw))
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise RequestError(f"input {name!r}: datatype {datatype!r} is none of {listed(DTYPES)}")
    if len(raw) % dtype.itemsize:
        raise RequestError(f"input {name!r}: {len(raw)} bytes are no whole number of {datatype} values")
    if datatype == "BOOL" and len(raw) and max(raw) > 1:
        raise RequestError(f"input {name!r}: a BOOL has to be 0 or 1")
    return np.frombuffer(raw, dtype=dtype)


def raw_bytes(array: Array) -> bytes:
    """An array as raw bytes: what `raw_array` reads."""
    if array.dtype.kind != "O":
        return array.tobytes()
    parts: list[bytes] = []
    for one in array.ravel():
        data = one if isinstance(one, bytes) else str(one).encode()
        parts += (len(data).to_bytes(4, "little"), data)
    return b"".join(parts)


def _raw_strings(name: str, raw: bytes) -> Array:
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > len(raw) or end > len(raw):
            raise RequestError(f"input {name!r}: its BYTES end in the middle of a value")
        values.append(raw[at + 4 : end])
        at = end
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _checked_shape(tensor: InputTensor) -> tuple[int, ...]:
    shape = tensor.shape
    if not isinstance(shape, (list, tuple)) or not all(type(one) is int and one >= 0 for one in shape):
        raise RequestError(f"input {tensor.name!r}: shape has to be a list of whole numbers that aren't negative")
    if len(shape) > MAX_DIMENSIONS:
        raise RequestError(f"input {tensor.name!r}: {len(shape)} dimensions are more than {MAX_DIMENSIONS}")
    if isinstance(tensor.data, np.ndarray) and tensor.data.size != math.prod(shape):
        raise RequestError(
            f"input {tensor.name!r}: shape {list(shape)} has {math.prod(shape)} values, data has {tensor.data.size}"
        )
    return tuple(shape)


def _flat(tensor: InputTensor, shape: tuple[int, ...]) -> list[Any]:
    """Data without its nesting, which has to be that of the shape if there is any."""
    level: list[Any] = tensor.data
    if not any(type(one) is list for one in level):
        return level
    for depth, length in enumerate(shape):
        if depth and not all(type(one) is list and len(one) == length for one in level):
            raise RequestError(f"input {tensor.name!r}: data is nested otherwise than shape {list(shape)} says")
        if not depth and len(level) != length:
            raise RequestError(f"input {tensor.name!r}: shape says {length} rows, data has {len(level)}")
        if depth:
            level = [value for one in level for value in one]
    return level


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    try:
        np.array([value], dtype=dtype)
    except (OverflowError, ValueError):
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
