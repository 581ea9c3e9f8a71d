"""OpenAPI of a model server: its paths, and for each model the schemas that its signature says."""

from typing import Any
from urllib.parse import quote

import modelyard
from modelyard.serving.server import openapi_schemas as schemas
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.interface import Models, ServedModel

Operation = dict[str, Any]
_REFUSALS = {
    "400": "The request isn't what the model takes, or the model refuses it.",
    "404": "There is no such model or version.",
    "405": "Another method is for this path: see `Allow`.",
    "408": "The request took too long to arrive.",
    "413": "The request is larger than this server takes.",
    "415": "This content type isn't understood.",
    "429": "Too many requests wait: try again after `Retry-After` seconds.",
    "500": "The model failed.",
    "503": "The model is being loaded, or the server is stopping: try again after `Retry-After` seconds.",
    "504": "The prediction took too long.",
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_VERSION = {**_NAME, "name": "version"}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Names the request in logs and in the payload log; it is returned.",
    "schema": {"type": "string"},
}
_JSON_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of JSON at the start of the body, if raw tensors follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_BINARY = {
    "description": "JSON whose tensors have a parameter `binary_data_size` instead of data, then their bytes. "
    "https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md",
    "schema": {"type": "string", "contentMediaType": "application/octet-stream"},
}


def document(models: Models, *, base: str = "") -> dict[str, Any]:
    """An OpenAPI 3.1 document of everything that a server answers on its main port.

    Args:
        models: Those it has now.
        base: Where its paths start, if it is behind something else.
    """
    served = _served(models)
    only = served[0] if len(served) == 1 else None
    v2, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    paths: dict[str, Any] = {
        "/v2": _told("Name and version of the server", "ServerMetadata"),
        "/v2/health/live": _told("Whether the process answers", "Live"),
        "/v2/health/ready": _told("Whether all models answer", "Ready", "503"),
        "/ping": _told("Whether all models answer, as MLflow has it", None, "503"),
        "/health": _told("Whether all models answer, as MLflow has it", None, "503"),
        "/version": _told("Version of the server", "Version"),
        "/openapi.json": _told("This document", None),
        **_model_paths(v2, None, [_NAME]),
        **_model_paths(version, None, [_NAME, _VERSION]),
        "/models/{name}/invocations": {"parameters": [_NAME], "post": _invocations(None)},
        "/invocations": {"post": _invocations(only)},
    }
    for model in served:
        name = quote(model.name, safe="")
        paths |= _model_paths(f"/v2/models/{name}", model, [])
        paths[f"/models/{name}/invocations"] = {"post": _invocations(model)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard model server",
            "version": modelyard.__version__,
            "description": "MLflow models over the Open Inference Protocol (V2) and over MLflow's `/invocations`.",
        },
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _served(models: Models) -> list[ServedModel]:
    found = []
    for name in models.names():
        try:
            found.append(models.find(name))
        except RequestError:  # it has been unloaded since
            continue
    return found


def _model_paths(path: str, model: ServedModel | None, parameters: list[Any]) -> dict[str, Any]:
    shared = {"parameters": parameters} if parameters else {}
    called = f"model {model.name}" if model else "a model"
    return {
        path: shared | _told(f"What {called} takes and gives", "ModelMetadata", "404", "503"),
        f"{path}/ready": shared | _told(f"Whether {called} answers", "ModelReady", "404", "503"),
        f"{path}/infer": shared | {"post": _infer(model)},
    }


def _told(summary: str, schema: str | None, *refusals: str) -> dict[str, Any]:
    """A path that is only read; what isn't ready says so in the same form."""
    content: Any = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}} if schema else {}}
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    for status in (*refusals, "405"):
        same = status == "503" and schema in (None, "Ready")
        refusal = content if same else _error_content("Error")
        responses[status] = {"description": _REFUSALS[status], "content": refusal, **_headers(status)}
    return {"get": {"summary": summary, "responses": responses}}


def _infer(model: ServedModel | None) -> Operation:
    schema: Any = schemas.infer_request(model) if model else {"$ref": "#/components/schemas/InferRequest"}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferResponse"}}}
    binary = {"application/octet-stream": {"schema": _BINARY["schema"]}}
    return {
        "summary": f"A prediction of {model.name if model else 'a model'} (V2)",
        "parameters": [_REQUEST_ID, _JSON_LENGTH],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema}, "application/octet-stream": _BINARY},
        },
        "responses": {"200": {"description": "The prediction", "content": content | binary}} | _refusals("Error"),
    }


def _invocations(model: ServedModel | None) -> Operation:
    schema: Any = schemas.invocations_request(model) if model else {"$ref": "#/components/schemas/Invocation"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if model is None or model.signature.columns or not model.signature.inputs:
        content["text/csv"] = {"schema": {"type": "string", "description": "A header with column names, then rows."}}
    answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Predictions"}}}
    return {
        "summary": f"A prediction of {model.name if model else 'a model'} (MLflow)",
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "The prediction", "content": answer}} | _refusals("MlflowError"),
    }


def _refusals(schema: str) -> dict[str, Any]:
    return {
        status: {"description": said, "content": _error_content(schema), **_headers(status)}
        for status, said in _REFUSALS.items()
    }


def _headers(status: str) -> dict[str, Any]:
    if status == "405":
        return {"headers": {"Allow": {"schema": {"type": "string"}, "required": True}}}
    if status in ("429", "503"):
        return {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
    return {}


def _error_content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


_TEXT, _TRUTH = {"type": "string"}, {"type": "boolean"}
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_TENSOR = {"name": _TEXT, "shape": _SHAPE, "datatype": _TEXT}
_ANY_PARAMETERS = {"parameters": {"type": "object"}}
_DATA = {"data": {"type": "array"}}
_SCHEMAS: dict[str, Any] = {
    "Error": _object({"error": _TEXT}),
    "MlflowError": _object({"error_code": _TEXT, "message": _TEXT}),
    "ServerMetadata": _object({"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}),
    "Live": _object({"live": _TRUTH}),
    "Ready": _object({"ready": _TRUTH}),
    "ModelReady": _object({"name": _TEXT, "ready": _TRUTH}),
    "Version": _object({"version": _TEXT}),
    "TensorMetadata": _object(_TENSOR, _ANY_PARAMETERS),
    "ModelMetadata": _object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/TensorMetadata"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/TensorMetadata"}},
        },
        _ANY_PARAMETERS,
    ),
    "InputTensor": _object(_TENSOR, _DATA | _ANY_PARAMETERS),
    "InferRequest": _object(
        {"inputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/InputTensor"}}},
        {"id": _TEXT, "outputs": {"type": "array", "items": _object({"name": _TEXT}, _ANY_PARAMETERS)}}
        | _ANY_PARAMETERS,
    ),
    "InferResponse": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": {"type": "array", "items": _object(_TENSOR, _DATA | _ANY_PARAMETERS)},
        },
        {"id": _TEXT},
    ),
    "Invocation": {"type": "object", "minProperties": 1},
    "Predictions": _object({"predictions": {}}),
}
