"""What V2 over HTTP and V2 over gRPC have in common: which outputs a request asked for, and how arrays travel."""

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from modelyard.serving.server.columns import objects
from modelyard.serving.server.datatypes import datatype
from modelyard.serving.server.errors import RequestError, did_you_mean, listed
from modelyard.serving.server.interface import ServedModel
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array, raw_bytes

_NOTHING: Mapping[str, str] = {}
_TEXT = {"content_type": "str"}
_BINARY = {"content_type": "base64"}
_DATETIME = {"content_type": "datetime"}
_NUMBERS = {bool: np.bool_, int: np.int64, float: np.float64}


class Encoded(NamedTuple):
    """An array as V2 has it.

    Attributes:
        shape: At least one dimension: V2 has no scalars.
        array: In C order and this machine's byte order; for BYTES, an object array of str and None, or of bytes and
            None.
        parameters: Of the output: `content_type`, as MLServer's codecs name what the BYTES are; else nothing.
    """

    datatype: str
    shape: tuple[int, ...]
    array: Array
    parameters: Mapping[str, str]


def select(output: Output, requested: Sequence[str] | None, model: ServedModel) -> dict[str, Array]:
    """The arrays that a request asked for.

    Args:
        output: The prediction.
        requested: Names of outputs, in the order in which they are wanted; None or empty: all of them.
        model: Who predicted, for messages.

    Raises:
        RequestError: there is no such output; the message lists those there are.
    """
    if not requested:
        return output.arrays
    for name in requested:
        if name not in output.arrays:
            hint = did_you_mean(name, output.arrays)
            raise RequestError(f"model {model.name!r} has no output {name!r}{hint}; it has {listed(output.arrays)}")
    return {name: output.arrays[name] for name in requested}


def encoded(array: Array) -> Encoded:
    """An array of any NumPy dtype as V2 has it.

    Numbers keep their width; extended precision becomes FP64. Object arrays of nothing but bools, ints or floats become
    BOOL, INT64 or FP64. Text, datetimes (ISO 8601), bytes and everything else (as JSON) become BYTES.

    Args:
        array: Of any shape.

    >>> encoded(np.array([[1.5, 2.5]]))[:2]
    ('FP64', (1, 2))
    """
    kind = array.dtype.kind
    if kind in "fiub":
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return Encoded(datatype(array.dtype), array.shape or (1,), array, _NOTHING)
    shape = array.shape or (1,)
    if kind == "M":
        return Encoded("BYTES", shape, objects(_isoformat(array)).reshape(shape), _DATETIME)
    if kind in "US":
        return Encoded("BYTES", shape, array.astype(object).reshape(shape), _TEXT if kind == "U" else _BINARY)
    flat = array.ravel().tolist()
    types = set(map(type, flat))
    if len(types) == 1 and (number := _NUMBERS.get(next(iter(types)))):
        try:
            return encoded(np.array(flat, dtype=number).reshape(shape))
        except OverflowError:
            pass  # a whole number of more than 64 bits goes as text
    if bytes in types or bytearray in types:
        return Encoded("BYTES", shape, objects([_as_bytes(one) for one in flat]).reshape(shape), _BINARY)
    if not types <= {str, type(None)}:
        flat = [_as_text(one) for one in flat]
    return Encoded("BYTES", shape, objects(flat).reshape(shape), _TEXT)


def json_data(one: Encoded) -> Array | list[Any]:
    """The flat `data` of an output in a JSON response; NaN and infinity are left to orjson, which writes null.

    Args:
        one: From `encoded`.

    Returns:
        A 1-D array that orjson can write (`OPT_SERIALIZE_NUMPY`), or a list.
    """
    if one.array.dtype.kind != "O":
        return one.array.reshape(-1)
    flat: list[Any] = one.array.ravel().tolist()
    if one.parameters is _BINARY:
        return [None if value is None else base64.b64encode(value).decode() for value in flat]
    return flat


def raw_data(name: str, one: Encoded) -> bytes:
    """An output in binary: little-endian and row-major; BYTES each with their length as 4 bytes before them.

    Args:
        name: Of the output, for messages.
        one: From `encoded`.

    Raises:
        RequestError: it has missing strings, which binary tensors can't hold.
    """
    refuse_missing(name, one)
    return raw_bytes(one.array)


def refuse_missing(name: str, one: Encoded) -> None:
    """
    Raises:
        RequestError: an output of BYTES has missing values; only JSON has a way to say that.
    """
    if one.array.dtype.kind == "O" and any(value is None for value in one.array.ravel().tolist()):
        raise RequestError(f"output {name!r} has missing values, which binary data can't hold: ask for it as JSON")


def _isoformat(array: Array) -> list[str | None]:
    whole = array.astype("datetime64[us]")
    if (whole == array)[~np.isnat(array)].all():
        return [one if one is None else _time(one) for one in whole.ravel().tolist()]
    texts = np.datetime_as_string(array.ravel()).tolist()
    return [None if one == "NaT" else str(one) for one in texts]


def _time(value: Any) -> str:
    return str(value.isoformat()) if isinstance(value, datetime.date) else str(value)


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    text = _as_text(value)
    return None if text is None else text.encode()


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return None if value != value else value.isoformat()  # noqa: PLR0124 (NaT)
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a whole number of more than 64 bits, or a text that isn't Unicode
        return str(value)
