"""V2 over HTTP: a request's body to inputs, a prediction to a body; JSON, with tensors as raw bytes if asked for.

Sources: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md and
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from modelyard.serving.server import v2
from modelyard.serving.server.bodies import parse
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.interface import Decoded, ServedModel
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array, InputTensor, raw_array

_FAST = {"f": "FP64", "i": "INT64"}
_OWN_PARAMETERS = ("binary_data_output", "content_type", "headers", "sequence_id", "sequence_start", "sequence_end")
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


@dataclass(slots=True)
class V2Request:
    """A request to infer.

    Attributes:
        id: The client's, or empty.
        outputs: Names of the outputs to return; None: all.
        binary: Names of the outputs to return as raw bytes; None: all of them.
    """

    id: str
    inputs: Decoded
    parameters: dict[str, Any]
    outputs: list[str] | None
    binary: frozenset[str] | None


def read(body: bytes, json_length: int | None, model: ServedModel) -> V2Request:
    """Parse a request.

    Args:
        body: JSON, and the raw bytes of tensors behind it.
        json_length: Bytes of JSON, if there is more behind it (`Inference-Header-Content-Length`).
        model: Whose inputs they are.

    Raises:
        RequestError: it is no such request.
    """
    raw = b""
    if json_length is not None:
        if not 0 <= json_length <= len(body):
            raise RequestError(f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes")
        body, raw = body[:json_length], body[json_length:]
    request = parse(body)
    tensors = request.get("inputs")
    if type(tensors) is not list or not tensors:
        raise RequestError('"inputs" has to be a list of at least one tensor')
    plain = model.inputs.from_plain(tensors) if not raw else None
    inputs = plain or model.inputs.from_tensors(_tensors(tensors, raw))
    if len(request) == 1:
        return V2Request("", inputs, {}, None, frozenset())
    return V2Request(*_options(request, inputs))


def write(request: V2Request, output: Output, model: ServedModel) -> tuple[bytes, int | None]:
    """A response.

    Args:
        request: What was asked.
        output: The prediction.
        model: Whose it is.

    Returns:
        The body, and the length of the JSON in it if raw bytes follow.

    Raises:
        RequestError: an output was asked for that there isn't.
    """
    arrays = output.arrays if request.outputs is None else v2.select(output, request.outputs, model)
    raws: list[bytes] = []
    described = []
    for name, array in arrays.items():
        as_binary = request.binary is None or name in request.binary
        described.append(_described(name, array, raws if as_binary else None))
    head: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request.id:
        head["id"] = request.id
    head["outputs"] = described
    body = orjson.dumps(head, option=_OPTIONS)
    return (body + b"".join(raws), len(body)) if raws else (body, None)


def _described(name: str, array: Array, raws: list[bytes] | None) -> dict[str, Any]:
    """One output, its data as JSON, or added to `raws`."""
    if raws is None and array.ndim == 1 and array.dtype.itemsize == 8 and array.dtype.kind in _FAST:
        one: dict[str, Any] = {"name": name, "shape": [len(array)], "datatype": _FAST[array.dtype.kind]}
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            one["parameters"] = {"non_finite": True}
        one["data"] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        return one
    encoded = v2.encoded(array)
    one = {"name": name, "shape": list(encoded.shape), "datatype": encoded.datatype}
    parameters: dict[str, Any] = dict(encoded.parameters)
    if raws is not None:
        raws.append(v2.raw_data(name, encoded))
        one["parameters"] = parameters | {"binary_data_size": len(raws[-1])}
        return one
    data = v2.json_data(encoded)
    if encoded.array.dtype.kind == "f" and not np.isfinite(encoded.array).all():
        parameters["non_finite"] = True  # JSON has no NaN and no infinity: null stands for them
    if parameters:
        one["parameters"] = parameters
    one["data"] = data
    return one


def _options(request: dict[str, Any], inputs: Decoded) -> tuple[str, Decoded, dict[str, Any], list[str] | None, Any]:
    given = request.get("id", "")
    if type(given) is not str:
        raise RequestError('"id" has to be a string')
    parameters = _parameters(request, "the request")
    wanted = request.get("outputs")
    if wanted is not None and type(wanted) is not list:
        raise RequestError('"outputs" has to be a list of objects with a "name"')
    outputs = None
    binary: frozenset[str] | None = None if parameters.get("binary_data_output") is True else frozenset()
    if wanted:
        if not all(type(one) is dict and type(one.get("name")) is str for one in wanted):
            raise RequestError('"outputs" has to be a list of objects with a "name"')
        outputs = [one["name"] for one in wanted]
        by_default = binary is None
        binary = frozenset(
            one["name"] for one in wanted if _parameters(one, one["name"]).get("binary_data", by_default) is True
        )
    rest = {key: value for key, value in parameters.items() if key not in _OWN_PARAMETERS}
    return given, inputs, rest, outputs, binary


def _parameters(holder: dict[str, Any], whose: str) -> dict[str, Any]:
    found = holder.get("parameters")
    if found is None:
        return {}
    if type(found) is not dict:
        raise RequestError(f'"parameters" of {whose} has to be an object')
    return found


def _tensors(tensors: list[Any], raw: bytes) -> list[InputTensor]:
    found, at = [], 0
    for index, one in enumerate(tensors):
        if type(one) is not dict:
            raise RequestError(f"input {index} has to be an object with name, shape, datatype and data")
        for key, kind in (("name", str), ("datatype", str), ("shape", list)):
            if type(one.get(key)) is not kind:
                what = "a list of whole numbers" if kind is list else "a string"
                raise RequestError(f"input {one.get('name', index)!r}: {key} has to be {what}")
        parameters = _parameters(one, repr(one["name"]))
        size = parameters.get("binary_data_size")
        if size is None:
            if "data" not in one:
                raise RequestError(f"input {one['name']!r} has no data")
            data = one["data"]
        else:
            if "data" in one:
                raise RequestError(f"input {one['name']!r} has both data and binary_data_size")
            if type(size) is not int or not 0 <= size <= len(raw) - at:
                raise RequestError(f"input {one['name']!r}: {len(raw) - at} bytes are left, not {size}")
            data = raw_array(one["name"], one["datatype"], raw[at : at + size])
            at += size
        found.append(InputTensor(one["name"], one["datatype"], one["shape"], data, parameters))
    if at != len(raw):
        raise RequestError(f"{len(raw) - at} bytes behind the JSON belong to no input")
    return found
