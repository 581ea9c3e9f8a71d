"""The router's routes as a document: which paths reach which model, and how its pools share the requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard.serving.access import headers_to_remove, open_to_all
from modelyard.serving.clusters import METADATA, cluster_name, grpc_cluster_name
from modelyard.serving.documents import Document, discovery, type_url
from modelyard.serving.envoy import MODEL_HEADER, ROUTE_CONFIG, VERSION_HEADER, duration
from modelyard.serving.local_replies import GRPC_STATUSES
from modelyard.serving.settings import RouterSettings

NAMES_IN_HINT = 20
GRPC_SERVICE = "/inference.GRPCInferenceService/"
NOTHING = {"error": "no model is deployed yet", "hint": "deploy one: `modelyard deploy NAME`"}


@dataclass(frozen=True)
class ModelRoute:
    """How one deployed model's requests are shared.

    Attributes:
        shares: (version, percent) of its pools with a ready replica; empty: none has one.
        reason: What to tell clients when `shares` is empty.
    """

    model: str
    shares: tuple[tuple[int, int], ...]
    reason: str = ""


def routes(models: Sequence[ModelRoute], settings: RouterSettings) -> Document:
    """The route discovery document.

    Args:
        models: Every deployed model.
        settings: Timeouts.
    """
    ready = all(model.shares for model in models)
    table = [
        _answer({"path": "/v2/health/live"}, 200, {"live": True}) | open_to_all(settings),
        _answer({"path": "/v2/health/ready"}, 200 if ready else 503, {"ready": ready}) | open_to_all(settings),
        _answer({"path": "/v2"}, 200, {"name": "modelyard", "version": "2", "extensions": []}),
    ]
    for model in models:
        table += _model_routes(model, settings)
    table += _plain_invocations(models, settings)
    if settings.grpc:
        table += _grpc_routes(models, settings)
    table += _otherwise(models)
    virtual_host = {"name": ROUTE_CONFIG, "domains": ["*"], "routes": table}
    config = {
        "name": ROUTE_CONFIG,
        "virtual_hosts": [virtual_host],
        "max_direct_response_body_size_bytes": 16384,
        "request_headers_to_remove": [VERSION_HEADER, *headers_to_remove(settings)],
        # Of the replica that answered: nobody learns from a refusal which models there are.
        "response_headers_to_add": [_header(VERSION_HEADER, f"%UPSTREAM_METADATA({METADATA}:version)%")],
    }
    return discovery("config.route.v3.RouteConfiguration", [config])


def _model_routes(model: ModelRoute, settings: RouterSettings) -> list[Document]:
    path = f"/v2/models/{_in_path(model.model)}"
    named = {"name": MODEL_HEADER, "string_match": {"exact": model.model}}
    table = [
        _forward({"prefix": f"{path}/versions/{version}/"}, ((version, 100),), model, settings)
        for version, _ in model.shares
    ] + [
        _forward({"path": f"{path}/versions/{version}"}, ((version, 100),), model, settings)
        for version, _ in model.shares
    ]
    if model.shares:
        live = ", ".join(str(version) for version, _ in model.shares)
        gone = _error(f"model {model.model!r} is not served in this version", f"versions served now: {live}")
        table.append(_answer({"prefix": f"{path}/versions/"}, 404, gone))
    return [
        *table,
        _forward({"path": path}, model.shares, model, settings),
        _forward({"prefix": f"{path}/"}, model.shares, model, settings),
        _forward(
            {"path": f"/models/{_in_path(model.model)}/invocations"}, model.shares, model, settings, "/invocations"
        ),
        _forward({"path": "/invocations", "headers": [named]}, model.shares, model, settings),
    ]


def _plain_invocations(models: Sequence[ModelRoute], settings: RouterSettings) -> list[Document]:
    """`/invocations` that names no model (one that names a known model has matched before)."""
    unnamed = {"path": "/invocations", "headers": [{"name": MODEL_HEADER, "present_match": False}]}
    if len(models) == 1:
        return [_forward(unnamed, models[0].shares, models[0], settings)]
    if not models:
        return []
    what = f"{len(models)} models are deployed: say which one"
    fix = f"send the header {MODEL_HEADER}, or POST to /models/NAME/invocations; NAME is one of: "
    return [_answer(unnamed, 400, _error(what, fix + _names(models)))]


def _grpc_routes(models: Sequence[ModelRoute], settings: RouterSettings) -> list[Document]:
    """V2 over gRPC: the model's name is inside the message, where Envoy doesn't look, so a header says it.

    Envoy turns an answer of its own to such a request into a gRPC status, whose message is the answer's body.
    """
    table = [_forward(_grpc_call(model=model.model), model.shares, model, settings, grpc=True) for model in models]
    if models:
        table.append(_status(_grpc_call(named=True), 404, _unknown(models)))
    else:
        table.append(_status(_grpc_call(), 503, NOTHING))
    able = [model for model in models if model.shares]
    if able:  # what is asked of the server as a whole, any replica can answer
        whole = [_grpc_call(method) for method in ("ServerLive", "ServerReady", "ServerMetadata")]
        table += [_forward(match, able[0].shares, able[0], settings, grpc=True) for match in whole]
    if len(models) == 1:
        table.append(_forward(_grpc_call(), models[0].shares, models[0], settings, grpc=True))
    elif models:
        fix = f"send its name as metadata, {MODEL_HEADER}: NAME; NAME is one of: {_names(models)}"
        table.append(_status(_grpc_call(), 400, _error(f"{len(models)} models are deployed: say which one", fix)))
    return table


def _grpc_call(method: str = "", *, model: str | None = None, named: bool = False) -> Document:
    """A call of the service: of one method or of any, that names this model, any, or may do as it likes."""
    match: Document = {"grpc": {}} | ({"path": f"{GRPC_SERVICE}{method}"} if method else {"prefix": GRPC_SERVICE})
    if model is not None:
        match["headers"] = [{"name": MODEL_HEADER, "string_match": {"exact": model}}]
    elif named:
        match["headers"] = [{"name": MODEL_HEADER, "present_match": True}]
    return match


def _otherwise(models: Sequence[ModelRoute]) -> list[Document]:
    asks_for_model: list[Document] = [{"prefix": "/v2/models/"}, {"prefix": "/models/"}, {"path": "/invocations"}]
    if not models:
        table = [_answer(match, 503, NOTHING) for match in asks_for_model]
    else:
        table = [_answer(match, 404, _unknown(models)) for match in asks_for_model]
    known = "/v2/models/NAME/infer, /models/NAME/invocations, /invocations, /v2/health/ready"
    return [*table, _answer({"prefix": "/"}, 404, _error("there is nothing here", f"paths: {known}"))]


def _forward(
    match: Document,
    shares: tuple[tuple[int, int], ...],
    model: ModelRoute,
    settings: RouterSettings,
    rewrite: str | None = None,
    *,
    grpc: bool = False,
) -> Document:
    if not shares:
        what = f"model {model.model!r} can't answer: {model.reason}"
        away = _error(what, "`modelyard models` says more; try again later")
        return _status(match, 503, away) if grpc else _answer(match, 503, away)
    name = grpc_cluster_name if grpc else cluster_name
    action: Document = {
        "weighted_clusters": {
            "clusters": [{"name": name(model.model, version), "weight": weight} for version, weight in shares]
        },
        "timeout": duration(settings.request_timeout_seconds),
        # A prediction changes nothing, so asking another replica is safe even after the request was sent.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes" + (",unavailable" * grpc),
            "retriable_status_codes": [503],
            "num_retries": 4,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": type_url("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
                    },
                }
            ],
            # Envoy prefers the idlest replica, which a dead one is: let it draw until it finds another.
            "host_selection_retry_max_attempts": 50,
        },
    }
    if rewrite:
        action["regex_rewrite"] = {"pattern": {"regex": "^[^?]+"}, "substitution": rewrite}
    return {"match": match, "route": action}


def _answer(match: Document, status: int, body: object) -> Document:
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [_header("content-type", "application/json")],
    }


def _status(match: Document, status: int, error: dict[str, str]) -> Document:
    """The same for a call over gRPC: its code, and both sentences."""
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": f"{error['error']}; {error['hint']}"}},
        "response_headers_to_add": [_header("grpc-status", str(GRPC_STATUSES[status]))],
    }


def _unknown(models: Sequence[ModelRoute]) -> dict[str, str]:
    return _error("no such model is deployed", f"deployed models: {_names(models)}")


def _header(name: str, value: str) -> Document:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _error(what: str, fix: str) -> dict[str, str]:
    return {"error": what, "hint": fix}


def _names(models: Sequence[ModelRoute]) -> str:
    return _listed([model.model for model in models])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_IN_HINT
    return ", ".join(sorted(names)[:NAMES_IN_HINT]) + (f" and {more} more" if more > 0 else "")


def _in_path(name: str) -> str:
    return quote(name, safe="")
