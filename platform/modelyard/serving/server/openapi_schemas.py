"""JSON Schemas and examples of one model's requests, made from its signature.

What a schema can't say (that all columns have as many rows) is in the descriptions.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.serving.server.datatypes import OF_COLUMN, datatype
from modelyard.serving.server.interface import ServedModel
from modelyard.serving.server.signature import Column, Param, Tensor

Schema = dict[str, Any]
_DATETIME = r"^\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?$"
_LARGEST_EXACT = 2**53
_WHOLE = {"integer": 2**31, "long": 2**63}
_VALUES: dict[str, Any] = {
    "boolean": True,
    "integer": 3,
    "long": 3,
    "float": 1.5,
    "double": 1.5,
    "string": "text",
    "binary": "Ynl0ZXM=",
    "datetime": "2026-01-31T09:30:00",
}
_SCALARS: dict[str, Schema] = {
    "boolean": {"type": "boolean"},
    "float": {"type": ["number", "null"], "minimum": -3e38, "maximum": 3e38},
    "double": {"type": ["number", "null"]},
    "string": {"type": ["string", "null"]},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": ["string", "null"], "pattern": _DATETIME, "description": "ISO 8601 without a time zone"},
}


def infer_request(model: ServedModel) -> Schema:
    """The schema of a V2 request to a model, with an example.

    Args:
        model: Whose signature it is.
    """
    tensors = [_tensor(one) for one in model.signature.inputs] if _is_known(model) else []
    inputs: Schema = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/InputTensor"}}
    if tensors:
        required = [str(one.name) for one in model.signature.inputs if isinstance(one, Tensor) or one.required]
        inputs |= {
            "items": {"oneOf": tensors},
            "minItems": max(len(required), 1),
            "maxItems": len(tensors),
            "description": "One tensor for each input; all columns have the same number of rows.",
        }
        if model.signature.inputs[0].name:
            inputs["allOf"] = [{"contains": _named(name), "maxContains": 1} for name in required]
    names = [one.name for one in model.output_metadata]
    outputs = {"items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}
    schema: Schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": parameters(model.signature.params),
            "inputs": inputs,
            "outputs": {"type": "array", "description": f"Those to return; known: {', '.join(names)}.", **outputs},
        },
    }
    if tensors:
        schema["examples"] = [{"inputs": [_tensor_example(one) for one in model.signature.inputs]}]
    return schema


def invocations_request(model: ServedModel) -> Schema:
    """The schema of an `/invocations` request to a model, with examples.

    Args:
        model: Whose signature it is.
    """
    columns, tensors = model.signature.columns, model.signature.tensors
    forms = _forms(columns, framed=True) | _forms(columns, framed=False) if columns else _free_forms()
    schema: Schema = {
        "type": "object",
        "properties": {**forms, "params": parameters(model.signature.params) | {"type": ["object", "null"]}},
        "oneOf": [{"required": [form]} for form in forms],
    }
    if columns:
        row = {str(one.name): _VALUES[one.type] for one in columns}
        schema["examples"] = [
            {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
            {"dataframe_records": [row]},
        ]
    elif len(tensors) == 1:
        schema["examples"] = [{"inputs": _nested(_shape(tensors[0]), _value(tensors[0].dtype))}]
    elif tensors:
        schema["examples"] = [{"inputs": {str(one.name): _nested(_shape(one), _value(one.dtype)) for one in tensors}}]
    return schema


def parameters(params: Sequence[Param]) -> Schema:
    """The schema of a signature's inference parameters; unknown ones are ignored.

    Args:
        params: Of the signature.
    """
    kinds = {"boolean": "boolean", "integer": "integer", "long": "integer", "float": "number", "double": "number"}
    found: Schema = {}
    for one in params:
        kind = {"object": "object"}.get(one.type) or kinds.get(one.type, "string")
        schema: Schema = {"type": [kind, "null"], "default": one.default}
        if one.type == "datetime":
            schema["pattern"] = _DATETIME
        if one.shape is not None:
            schema = {"type": "array", "items": {"type": [kind, "null"]}, "default": one.default}
        found[one.name] = schema
    return {"type": "object", "properties": found} if found else {"type": "object"}


def _is_known(model: ServedModel) -> bool:
    return bool(model.signature.columns or model.signature.tensors)


def _scalar(column: Column, *, framed: bool = True) -> Schema:
    if limit := _WHOLE.get(column.type):
        # Python-made clients and 64-bit numbers aside, JSON's numbers are doubles: whole ones are exact up to 2**53.
        limit = min(limit, _LARGEST_EXACT)
        return {"type": "integer", "minimum": -limit, "maximum": limit - 1}
    if not framed and column.type in ("string", "binary"):
        return {"type": "string", "pattern": "^[\\x01-\\x7f]*$" if column.type == "binary" else "[^\\x00]$|^$"}
    return _SCALARS[column.type]


def _named(name: str) -> Schema:
    return {"type": "object", "properties": {"name": {"const": name}}, "required": ["name"]}


def _tensor(one: Column | Tensor) -> Schema:
    if isinstance(one, Column):
        kind, scalar, shape = OF_COLUMN[one.type], _scalar(one), [-1]
        if one.type == "binary":
            scalar = {"type": ["string", "null"]}
    else:
        kind, scalar, shape = datatype(np.dtype(one.dtype)), {}, list(one.shape)
    lengths = [{"const": length} if length >= 0 else {"type": "integer", "minimum": 1} for length in shape]
    return {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": one.name} if one.name else {"type": "string"},
            "shape": {"type": "array", "prefixItems": lengths, "minItems": len(shape), "maxItems": len(shape)},
            "datatype": {"const": kind},
            "parameters": {"type": "object"},
            "data": {"type": "array", "items": scalar},
        },
    }


def _tensor_example(one: Column | Tensor) -> Schema:
    if isinstance(one, Column):
        return {"name": one.name, "shape": [1], "datatype": OF_COLUMN[one.type], "data": [_VALUES[one.type]]}
    shape, value = _shape(one), _value(one.dtype)
    kind = datatype(np.dtype(one.dtype))
    return {"name": one.name or "input-0", "shape": shape, "datatype": kind, "data": [value] * math.prod(shape)}


def _shape(one: Tensor) -> list[int]:
    return [1 if length == -1 else length for length in one.shape]


def _value(dtype: str) -> Any:
    return {"b": True, "i": 3, "u": 3, "f": 1.5}.get(np.dtype(dtype).kind, "text")


def _nested(shape: Sequence[int], value: Any) -> Any:
    return [_nested(shape[1:], value) for _ in range(shape[0])] if shape else value


def _forms(columns: Sequence[Column], *, framed: bool) -> Schema:
    scalars = {str(one.name): _scalar(one, framed=framed) for one in columns}
    required = [str(one.name) for one in columns if one.required]
    record = {"type": "object", "properties": scalars, "required": required, "minProperties": 1}
    records = {"type": "array", "items": record, "minItems": 1}
    if framed:
        names = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
        if required:
            names["allOf"] = [{"contains": {"const": name}} for name in required]
        rows = {"type": "array", "minItems": 1, "items": {"type": "array", "description": "A value for each column."}}
        split = {
            "type": "object",
            "required": ["columns", "data"],
            "additionalProperties": False,
            "properties": {"columns": names, "data": rows, "index": {"type": ["array", "null"]}},
        }
        return {"dataframe_split": split, "dataframe_records": records}
    lists = {name: {"type": "array", "items": scalar, "minItems": 1} for name, scalar in scalars.items()}
    whole = {"type": "object", "properties": lists, "required": required, "minProperties": 1}
    return {form: {"anyOf": [records, whole, *_short(columns, scalars)]} for form in ("instances", "inputs")}


def _short(columns: Sequence[Column], scalars: Schema) -> list[Schema]:
    """Shorter ways: one row without lists; one column without its name."""
    row: Schema = {
        "type": "object",
        "properties": scalars,
        "required": [str(one.name) for one in columns if one.required],
        "minProperties": 1,
    }
    if len(columns) != 1:
        return [row]
    return [row, {"type": "array", "items": next(iter(scalars.values())), "minItems": 1}]


def _free_forms() -> Schema:
    forms: Schema = {
        "dataframe_split": {"type": "object", "required": ["data"]},
        "dataframe_records": {"type": "array", "items": {"type": "object"}, "minItems": 1},
        "instances": {},
        "inputs": {},
    }
    return forms
