"""How requests find models, as HTTPRoutes: https://gateway-api.sigs.k8s.io/reference/spec/

One for each model, and one for all that names none. What no model server can answer goes to the agent, which says why.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from modelyard.serving.answers import MODEL_HEADER
from modelyard.serving.kubernetes import names
from modelyard.serving.kubernetes.settings import ControllerSettings
from modelyard.serving.routes import GRPC_SERVICE, ModelRoute

Document = dict[str, Any]
Shares = tuple[tuple[int, int], ...]
COMMON = "models"
HTTP_PORT, GRPC_PORT = 80, 81  # of the Services


def routes(models: Sequence[ModelRoute], settings: ControllerSettings) -> list[Document]:
    """Every HTTPRoute there should be."""
    return [_common(models, settings), *(_model(model, settings) for model in models)]


def _model(model: ModelRoute, settings: ControllerSettings) -> Document:
    path = f"/v2/models/{_in_path(model.model)}"
    named = {"name": MODEL_HEADER, "value": model.model}
    rules = []
    for version, _ in model.shares:
        only = ((version, 100),)
        rules.append(_rule([_prefix(f"{path}/versions/{version}")], model.model, only, settings))
    if model.shares:
        rules.append(_rule([_prefix(f"{path}/versions")], model.model, (), settings))
    direct = [_prefix(path), _exact("/invocations") | {"headers": [named]}]
    rules.append(_rule(direct, model.model, model.shares, settings))
    invocations = _rule([_exact(f"/models/{_in_path(model.model)}/invocations")], model.model, model.shares, settings)
    if model.shares:
        path_of_server = {"type": "ReplaceFullPath", "replaceFullPath": "/invocations"}
        invocations["filters"] = [{"type": "URLRewrite", "urlRewrite": {"path": path_of_server}}]
    rules.append(invocations)
    if settings.grpc:
        call = _prefix(GRPC_SERVICE.rstrip("/")) | {"headers": [named]}
        rules.append(_rule([call], model.model, model.shares, settings, grpc=True))
    return _route(names.of_model(model.model), rules, settings)


def _common(models: Sequence[ModelRoute], settings: ControllerSettings) -> Document:
    """What names no model: the only one there is answers; the whole server is spoken for by any that can."""
    rules = []
    if len(models) == 1:
        rules.append(_rule([_exact("/invocations")], models[0].model, models[0].shares, settings))
    able = [model for model in models if model.shares]
    if settings.grpc and able:
        service = GRPC_SERVICE.rstrip("/")
        calls = [_exact(f"{service}/{method}") for method in ("ServerLive", "ServerReady", "ServerMetadata")]
        if len(models) == 1:
            calls.append(_prefix(service))
        rules.append(_rule(calls, able[0].model, able[0].shares, settings, grpc=True))
    rules.append(_rule([_prefix("/")], "", (), settings))
    return _route(COMMON, rules, settings)


def _rule(
    matches: list[Document], model: str, shares: Shares, settings: ControllerSettings, *, grpc: bool = False
) -> Document:
    port = GRPC_PORT if grpc else HTTP_PORT
    backends = [
        {"name": names.of_version(model, version), "port": port, "weight": weight} for version, weight in shares
    ]
    return {
        "matches": matches,
        "backendRefs": backends or [{"name": settings.service, "port": settings.answers_port}],
        "timeouts": {"request": f"{round(settings.gateway.request_timeout_seconds * 1000)}ms"},
    }


def _route(name: str, rules: list[Document], settings: ControllerSettings) -> Document:
    gateway = settings.gateway
    parent = {"name": gateway.name, "namespace": gateway.namespace, "sectionName": gateway.listener}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": dict(settings.labels)},
        "spec": {"parentRefs": [parent], "hostnames": [gateway.host], "rules": rules},
    }


def _prefix(path: str) -> Document:
    return {"path": {"type": "PathPrefix", "value": path}}


def _exact(path: str) -> Document:
    return {"path": {"type": "Exact", "value": path}}


def _in_path(name: str) -> str:
    return quote(name, safe="")
