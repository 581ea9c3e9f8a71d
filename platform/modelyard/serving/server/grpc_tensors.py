"""Tensors of V2 over gRPC: in typed contents, or as raw bytes beside the message."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from modelyard.serving.server import v2
from modelyard.serving.server.columns import objects
from modelyard.serving.server.datatypes import DTYPES
from modelyard.serving.server.errors import RequestError, listed
from modelyard.serving.server.interface import ServedModel
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array, InputTensor, raw_array

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a request, tensor or output as Python's own values.

    Args:
        given: A map of `InferParameter`.
    """
    return {name: getattr(one, kind) for name, one in given.items() if (kind := one.WhichOneof("parameter_choice"))}


def set_parameters(target: Any, values: Mapping[str, Any]) -> None:
    """Write parameters into a message; None is left out, what isn't a bool, int or float goes as text.

    Args:
        target: A map of `InferParameter`.
        values: By name.
    """
    for name, value in values.items():
        if value is None:
            continue
        kinds = {bool: "bool_param", int: "int64_param", float: "double_param"}
        kind = kinds.get(type(value))
        setattr(target[name], kind or "string_param", value if kind else str(value))


def input_tensors(request: Any) -> list[InputTensor]:
    """The inputs of a `ModelInferRequest`.

    Args:
        request: The message.

    Raises:
        RequestError: an input's data isn't where its datatype says.
    """
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise RequestError(f"there are {len(request.inputs)} inputs, but {len(raws)} raw_input_contents")
    if not request.inputs:
        raise RequestError("the request has no inputs")
    found = []
    for at, tensor in enumerate(request.inputs):
        if raws and tensor.contents.ListFields():  # MLServer's client sets contents that are empty
            raise RequestError(f"input {tensor.name!r} has both contents and raw_input_contents")
        data = raw_array(tensor.name, tensor.datatype, raws[at]) if raws else _contents(tensor)
        given = parameters(tensor.parameters) if tensor.parameters else {}
        found.append(InputTensor(tensor.name, tensor.datatype, list(tensor.shape), data, given))
    return found


def is_raw(request: Any) -> bool:
    """Whether the outputs are to be raw: if asked for by `binary_data`, else as the inputs were."""
    asked = [parameters(one.parameters).get("binary_data") for one in request.outputs]
    whole = parameters(request.parameters).get("binary_data_output")
    if True in asked or whole is True:
        return True
    return bool(request.raw_input_contents) and not (asked and all(one is False for one in asked))


def write(response: Any, output: Output, requested: Iterable[str], model: ServedModel, *, raw: bool) -> None:
    """Put a prediction into a `ModelInferResponse`.

    Args:
        response: The message.
        output: The prediction.
        requested: Names of outputs; none: all.
        model: Who predicted, for messages.
        raw: Whether as raw bytes; FP16 has no other way.

    Raises:
        RequestError: an output was asked for that there isn't, or that can't be sent.
    """
    encoded = {name: v2.encoded(array) for name, array in v2.select(output, list(requested), model).items()}
    raw = raw or any(one.datatype == "FP16" for one in encoded.values())
    for name, one in encoded.items():
        tensor = response.outputs.add(name=name, datatype=one.datatype, shape=one.shape)
        if one.parameters:
            set_parameters(tensor.parameters, one.parameters)
        if raw:
            response.raw_output_contents.append(v2.raw_data(name, one))
            continue
        flat: list[Any] = one.array.ravel().tolist()
        if one.datatype == "BYTES":
            v2.refuse_missing(name, one)
            flat = [value if isinstance(value, bytes) else value.encode() for value in flat]
        getattr(tensor.contents, _CONTENTS[one.datatype]).extend(flat)


def _contents(tensor: Any) -> Array:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        if tensor.datatype == "FP16":
            raise RequestError(f"input {tensor.name!r}: FP16 has no typed contents: send it in raw_input_contents")
        raise RequestError(f"input {tensor.name!r}: datatype {tensor.datatype!r} is none of {listed(DTYPES)}")
    if wrong := [one.name for one, _ in tensor.contents.ListFields() if one.name != field]:
        raise RequestError(f"input {tensor.name!r}: {tensor.datatype} belongs into {field}, not into {listed(wrong)}")
    values = getattr(tensor.contents, field)
    if tensor.datatype == "BYTES":
        return objects(list(values))
    dtype = DTYPES[tensor.datatype]
    try:
        return np.array(values, dtype=dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        at, bad = next((at, one) for at, one in enumerate(values) if not limits.min <= one <= limits.max)
        raise RequestError(f"input {tensor.name!r}: value {at} is {bad}, which doesn't fit into {dtype}") from None
