"""The router's routes as a document: which paths reach which model, and how its pools share the requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard.serving import answers
from modelyard.serving.access import headers_to_remove, open_to_all
from modelyard.serving.answers import MODEL_HEADER, VERSION_HEADER
from modelyard.serving.clusters import METADATA, cluster_name, grpc_cluster_name
from modelyard.serving.documents import Document, discovery, type_url
from modelyard.serving.envoy import ROUTE_CONFIG, duration
from modelyard.serving.local_replies import GRPC_STATUSES
from modelyard.serving.settings import RouterSettings

GRPC_SERVICE = "/inference.GRPCInferenceService/"


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
        _answer({"path": "/v2/health/live"}, 200, answers.LIVE) | open_to_all(settings),
        _answer({"path": "/v2/health/ready"}, 200 if ready else 503, {"ready": ready}) | open_to_all(settings),
        _answer({"path": "/v2"}, 200, answers.SERVER),
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
        gone = answers.not_this_version(model.model, [version for version, _ in model.shares])
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
    how = f"send the header {MODEL_HEADER}, or POST to /models/NAME/invocations"
    return [_answer(unnamed, 400, answers.say_which(_names(models), how))]


def _grpc_routes(models: Sequence[ModelRoute], settings: RouterSettings) -> list[Document]:
    """V2 over gRPC: the model's name is inside the message, where Envoy doesn't look, so a header says it.

    Envoy turns an answer of its own to such a request into a gRPC status, whose message is the answer's body.
    """
    table = [_forward(_grpc_call(model=model.model), model.shares, model, settings, grpc=True) for model in models]
    if models:
        table.append(_status(_grpc_call(named=True), 404, answers.unknown(_names(models))))
    else:
        table.append(_status(_grpc_call(), 503, answers.NOTHING_DEPLOYED))
    able = [model for model in models if model.shares]
    if able:  # what is asked of the server as a whole, any replica can answer
        whole = [_grpc_call(method) for method in ("ServerLive", "ServerReady", "ServerMetadata")]
        table += [_forward(match, able[0].shares, able[0], settings, grpc=True) for match in whole]
    if len(models) == 1:
        table.append(_forward(_grpc_call(), models[0].shares, models[0], settings, grpc=True))
    elif models:
        how = f"send its name as metadata, {MODEL_HEADER}: NAME"
        table.append(_status(_grpc_call(), 400, answers.say_which(_names(models), how)))
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
        table = [_answer(match, 503, answers.NOTHING_DEPLOYED) for match in asks_for_model]
    else:
        table = [_answer(match, 404, answers.unknown(_names(models))) for match in asks_for_model]
    return [*table, _answer({"prefix": "/"}, 404, answers.NOTHING_HERE)]


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
        away = answers.unable(model.model, model.reason)
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


def _header(name: str, value: str) -> Document:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _names(models: Sequence[ModelRoute]) -> list[str]:
    return [model.model for model in models]


def _in_path(name: str) -> str:
    return quote(name, safe="")
