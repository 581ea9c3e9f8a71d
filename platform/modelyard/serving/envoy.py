"""The router's static half: the Envoy bootstrap document, written once per platform.

Everything that changes while it runs (routes, clusters, endpoints) is in files that Envoy watches; `routes`
makes their content. Start Envoy as `envoy -c FILE --disable-hot-restart --concurrency N` once the agent is ready.
"""

from typing import Any

from modelyard.serving.settings import RouterSettings

type_url = "type.googleapis.com/envoy.{}".format

NODE = {"id": "modelyard-router", "cluster": "modelyard"}
ROUTES_FILE = "routes.json"
CLUSTERS_FILE = "clusters.json"
ENDPOINTS_FOLDER = "endpoints"
ROUTE_CONFIG = "models"
MODEL_HEADER = "x-modelyard-model"
VERSION_HEADER = "x-modelyard-version"
MEBIBYTE = 1024 * 1024

Document = dict[str, Any]


def bootstrap(settings: RouterSettings) -> Document:
    """Envoy's start-up document.

    Args:
        settings: Ports, limits, and the folder that the agent writes to.
    """
    return {
        "node": NODE,
        "admin": {"address": _address("127.0.0.1", settings.admin_port), "ignore_global_conn_limit": True},
        "static_resources": {"listeners": [_listener(settings)]},
        "dynamic_resources": {"cds_config": watched(settings, CLUSTERS_FILE)},
        "stats_config": _stats(),
        "overload_manager": _overload(settings),
    }


def watched(settings: RouterSettings, file: str) -> Document:
    """A configuration source: a file that is replaced by renaming."""
    return {"path_config_source": {"path": str(settings.folder / file)}, "resource_api_version": "V3"}


def duration(seconds: float) -> str:
    """As Envoy spells it, to the millisecond."""
    return f"{seconds:.3f}s"


def _address(host: str, port: int) -> Document:
    return {"socket_address": {"address": host, "port_value": port}}


def _listener(settings: RouterSettings) -> Document:
    return {
        "name": "predictions",
        "address": _address(settings.address, settings.port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _http_connection_manager(settings),
                    }
                ]
            }
        ],
    }


def _http_connection_manager(settings: RouterSettings) -> Document:
    receive = duration(settings.receive_timeout_seconds)
    return {
        "@type": type_url("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "predictions",
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": watched(settings, ROUTES_FILE)},
        "http_filters": [
            {
                "name": "envoy.filters.http.buffer",
                "typed_config": {
                    "@type": type_url("extensions.filters.http.buffer.v3.Buffer"),
                    "max_request_bytes": settings.max_request_mib * MEBIBYTE,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": type_url("extensions.filters.http.router.v3.Router"),
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "local_reply_config": _local_replies(settings),
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "OVERWRITE",
        "server_name": "modelyard",
        # A path that means something else after decoding must not reach a replica's management endpoints.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # Slow or silent clients give their connection back. The stream's idle time also runs while a replica
        # computes, so it is the longest of these.
        "request_headers_timeout": duration(min(10, settings.receive_timeout_seconds)),
        "request_timeout": receive,
        "stream_idle_timeout": duration(settings.request_timeout_seconds + settings.receive_timeout_seconds),
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "DROP_HEADER",
        },
    }


def _local_replies(settings: RouterSettings) -> Document:
    """Envoy's own answers, as JSON that says what to do."""
    replies = (
        (413, (), f"the request body is larger than {settings.max_request_mib} MiB: send fewer rows per request"),
        (504, (), f"the model did not answer within {settings.request_timeout_seconds:g} s"),
        (408, (), f"the request did not arrive within {settings.receive_timeout_seconds:g} s"),
        (431, (), "the request's headers are too large"),
        (503, ("UO",), "too many requests are waiting for this model: try again later"),
        (503, ("UH",), "no replica of this model is ready: `modelyard models` says why; try again later"),
        (503, ("UF", "UC", "URX", "LR", "UR"), "the model's replica went away: try again"),
        (503, ("NC",), "this model is just being set up: try again"),
    )
    return {"mappers": [_local_reply(status, flags, hint) for status, flags, hint in replies]}


def _local_reply(status: int, flags: tuple[str, ...], hint: str) -> Document:
    has_status = {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"modelyard.reply.{status}"}}
        }
    }
    has_flag = {"response_flag_filter": {"flags": list(flags)}}
    return {
        "filter": {"and_filter": {"filters": [has_status, has_flag]}} if flags else has_status,
        "body_format_override": {
            "json_format": {"error": hint, "status": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
        },
    }


def _stats() -> Document:
    """Label a cluster's figures with `model` and `version` (cluster names are MODEL/vVERSION), for PromQL."""
    return {
        "use_all_default_tags": False,
        "stats_tags": [
            {"tag_name": "model", "regex": r"^cluster\.((.+?)/)v\d+\."},
            {"tag_name": "version", "regex": r"^cluster\..+?/(v(\d+)\.)"},
            {"tag_name": "envoy.response_code"},
            {"tag_name": "envoy.response_code_class"},
            {"tag_name": "envoy.http_conn_manager_prefix"},
        ],
    }


def _overload(settings: RouterSettings) -> Document:
    return {
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": type_url(
                        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
                    ),
                    "max_active_downstream_connections": settings.max_connections,
                },
            }
        ]
    }
