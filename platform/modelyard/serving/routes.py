"""The router's changing half: routes, clusters and endpoints as documents, from what is to be served.

A cluster is one model version (`MODEL/vVERSION`); the pools of a model share its requests by weight.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard.serving.envoy import (
    ENDPOINTS_FOLDER,
    MODEL_HEADER,
    ROUTE_CONFIG,
    VERSION_HEADER,
    Document,
    duration,
    type_url,
    watched,
)
from modelyard.serving.settings import RouterSettings

NAMES_IN_HINT = 20


@dataclass(frozen=True)
class Endpoint:
    """A replica: a draining one finishes its requests and gets no new ones."""

    port: int
    draining: bool = False


@dataclass(frozen=True)
class VersionEndpoints:
    """The replicas of one model version that requests may reach."""

    model: str
    version: int
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def cluster(self) -> str:
        return cluster_name(self.model, self.version)


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


def cluster_name(model: str, version: int) -> str:
    return f"{model}/v{version}"


def slug(name: str) -> str:
    """The name itself if it can be part of a file's or process's name, else something like it, as unique."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def endpoints_file(model: str, version: int) -> str:
    return f"{ENDPOINTS_FOLDER}/{slug(model)}-v{version}.json"


# ---- clusters and endpoints


def endpoints(version: VersionEndpoints) -> Document:
    """The endpoint discovery document of one model version."""
    return _discovery(
        "config.endpoint.v3.ClusterLoadAssignment",
        [
            {
                "cluster_name": version.cluster,
                "endpoints": [{"lb_endpoints": [_lb_endpoint(one) for one in version.endpoints]}],
            }
        ],
    )


def _lb_endpoint(endpoint: Endpoint) -> Document:
    return {
        "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": endpoint.port}}},
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
    }


def clusters(versions: Iterable[VersionEndpoints], settings: RouterSettings) -> Document:
    """The cluster discovery document."""
    return _discovery("config.cluster.v3.Cluster", [_cluster(version, settings) for version in versions])


def _cluster(version: VersionEndpoints, settings: RouterSettings) -> Document:
    return {
        "name": version.cluster,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched(settings, endpoints_file(version.model, version.version))},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": settings.max_connections,
                    "max_pending_requests": settings.max_pending_requests,
                    "max_requests": settings.max_pending_requests,
                    "retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 20},
                }
            ]
        },
        "outlier_detection": {
            # A model's own 500 says something about the request; only a replica that can't answer is put aside.
            "split_external_local_origin_errors": True,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_local_origin_failure": 3,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
    }


# ---- routes


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
    return _discovery("config.route.v3.RouteConfiguration", [config])


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
    return table + [
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
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": type_url("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
                    },
                }
            ],
            "host_selection_retry_max_attempts": 3,
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


def _discovery(kind: str, resources: list[Document]) -> Document:
    version = hashlib.sha256(json.dumps(resources).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": [{"@type": type_url(kind)} | resource for resource in resources]}
