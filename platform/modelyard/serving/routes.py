"""The router's routes as a document: which paths reach which model, and how its pools share the requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard.serving.clusters import cluster_name, discovery
from modelyard.serving.envoy import MODEL_HEADER, ROUTE_CONFIG, VERSION_HEADER, Document, duration, type_url
from modelyard.serving.settings import RouterSettings

NAMES_IN_HINT = 20


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
        _answer({"path": "/v2/health/live"}, 200, {"live": True}),
        _answer({"path": "/v2/health/ready"}, 200 if ready else 503, {"ready": ready}),
        _answer({"path": "/v2"}, 200, {"name": "modelyard", "version": "2", "extensions": []}),
    ]
    for model in models:
        table += _model_routes(model, settings)
    table += _plain_invocations(models, settings)
    table += _otherwise([model.model for model in models])
    virtual_host = {"name": ROUTE_CONFIG, "domains": ["*"], "routes": table}
    config = {
        "name": ROUTE_CONFIG,
        "virtual_hosts": [virtual_host],
        "max_direct_response_body_size_bytes": 16384,
        "request_headers_to_remove": [VERSION_HEADER],
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


def _otherwise(names: Sequence[str]) -> list[Document]:
    asks_for_model: list[Document] = [{"prefix": "/v2/models/"}, {"prefix": "/models/"}, {"path": "/invocations"}]
    if not names:
        nothing = _error("no model is deployed yet", "deploy one: `modelyard deploy NAME`")
        table = [_answer(match, 503, nothing) for match in asks_for_model]
    else:
        unknown = _error("no such model is deployed", f"deployed models: {_listed(names)}")
        table = [_answer(match, 404, unknown) for match in asks_for_model]
    known = "/v2/models/NAME/infer, /models/NAME/invocations, /invocations, /v2/health/ready"
    return [*table, _answer({"prefix": "/"}, 404, _error("there is nothing here", f"paths: {known}"))]


def _forward(
    match: Document,
    shares: tuple[tuple[int, int], ...],
    model: ModelRoute,
    settings: RouterSettings,
    rewrite: str | None = None,
) -> Document:
    if not shares:
        what = f"model {model.model!r} can't answer: {model.reason}"
        return _answer(match, 503, _error(what, "`modelyard models` says more; try again later"))
    action: Document = {
        "weighted_clusters": {"clusters": [_share(model.model, version, weight) for version, weight in shares]},
        "timeout": duration(settings.request_timeout_seconds),
        # A prediction changes nothing, so asking another replica is safe even after the request was sent.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
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


def _share(model: str, version: int, weight: int) -> Document:
    header = _header(VERSION_HEADER, str(version))
    return {"name": cluster_name(model, version), "weight": weight, "response_headers_to_add": [header]}


def _answer(match: Document, status: int, body: object) -> Document:
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [_header("content-type", "application/json")],
    }


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
