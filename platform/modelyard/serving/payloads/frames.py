"""Frames: recorded requests of one model version as bytes, each complete and checked by itself.

    magic (4) · header length (4) · body length (8) · CRC-32 of header and body (4) · header (JSON) · body (arrays)

Numbers are little-endian. The body holds, in the header's order, the bytes of times, rows and number columns.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from modelyard.serving.payloads.batches import Array
from modelyard.serving.payloads.columns import Column, clean

_MAGIC = b"MYP1"
_PREFIX = struct.Struct("<4sIQI")


@dataclass(slots=True)
class Frame:
    """Requests of one model version whose columns go together.

    Attributes:
        times: One for each request, nanoseconds since 1970 (int64).
        rows: How many rows each request has (int32).
    """

    model: str
    version: str
    request_ids: Sequence[str]
    times: Array
    rows: Array
    inputs: Sequence[Column]
    outputs: Sequence[Column]


def encode(frame: Frame) -> list[bytes | memoryview]:
    """A frame as pieces to be written one after the other.

    Raises:
        TypeError: a value can't be written.
    """
    arrays: list[Array] = [frame.times, frame.rows]
    header: dict[str, Any] = {
        "model": frame.model,
        "version": frame.version,
        "ids": frame.request_ids,
        "inputs": [_described(one, arrays) for one in frame.inputs],
        "outputs": [_described(one, arrays) for one in frame.outputs],
    }
    try:
        head = orjson.dumps(header)
    except TypeError:  # text that UTF-8 can't hold
        head = orjson.dumps(_cleaned(header))
    pieces = [_bytes(array) for array in arrays]
    check = zlib.crc32(head)
    for piece in pieces:
        check = zlib.crc32(piece, check)
    prefix = _PREFIX.pack(_MAGIC, len(head), sum(len(piece) for piece in pieces), check)
    return [prefix, head, *pieces]


def decode(data: memoryview, on_rest: Callable[[int], None] = lambda _: None) -> Iterator[Frame]:
    """The frames in a segment, up to its end or the first that is not complete.

    Args:
        data: The segment's content.
        on_rest: Told how many bytes are no complete frames, if there are any.
    """
    at = 0
    while at + _PREFIX.size <= len(data):
        magic, head_length, body_length, check = _PREFIX.unpack_from(data, at)
        start = at + _PREFIX.size
        middle, end = start + head_length, start + head_length + body_length
        if magic != _MAGIC or end > len(data) or zlib.crc32(data[start:end]) != check:
            break
        at = end
        yield _frame(data[start:middle], data[middle:end])
    if at < len(data):
        on_rest(len(data) - at)


def _described(column: Column, arrays: list[Array]) -> dict[str, Any]:
    described: dict[str, Any] = {"names": column.names, "form": column.form}
    if column.form == "numbers":
        arrays.append(column.values)
        described |= {"dtype": column.values.dtype.str, "shape": column.values.shape}
        described |= {"missing": column.missing, "matrix": column.is_matrix}
    else:
        described["values"] = column.values
    return described


def _bytes(array: Array) -> memoryview:
    # Through bytes: NumPy has no buffers of dates, and none of shapes with a 0 that can be cast.
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(one) for key, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, (list, tuple)) else value


def _frame(head: memoryview, body: memoryview) -> Frame:
    header, place = orjson.loads(head), 0

    def array(dtype: str, shape: Sequence[int]) -> Array:
        nonlocal place
        count = int(np.prod(shape, dtype=np.int64))
        found = np.frombuffer(body, dtype=dtype, count=count, offset=place) if count else np.empty(0, dtype)
        place += found.nbytes
        return found.reshape(shape)

    def column(described: dict[str, Any]) -> Column:
        names = tuple(described["names"])
        if described["form"] != "numbers":
            return Column(names, described["form"], described["values"])
        values = array(described["dtype"], described["shape"])
        return Column(names, "numbers", values, described["missing"], described["matrix"])

    ids = header["ids"]
    times, rows = array("<i8", [len(ids)]), array("<i4", [len(ids)])
    inputs = [column(one) for one in header["inputs"]]
    outputs = [column(one) for one in header["outputs"]]
    return Frame(header["model"], header["version"], ids, times, rows, inputs, outputs)
