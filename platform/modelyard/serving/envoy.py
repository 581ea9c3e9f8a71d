"""The router's static half: the Envoy bootstrap document, written once per platform.

Everything that changes while it runs (routes, clusters, endpoints) is in files that Envoy watches; `routes`
makes their content. Start Envoy as `envoy -c FILE --disable-hot-restart --concurrency N` once the agent is ready.
"""

from modelyard.serving import access
from modelyard.serving.documents import Document, type_url, watched
from modelyard.serving.local_replies import local_replies
from modelyard.serving.settings import RouterSettings

NODE = {"id": "modelyard-router", "cluster": "modelyard"}
ROUTES_FILE = "routes.json"
CLUSTERS_FILE = "clusters.json"
ENDPOINTS_FOLDER = "endpoints"
ROUTE_CONFIG = "models"
MEBIBYTE = 1024 * 1024


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
            | access.transport(settings)
        ],
    }


def _http_connection_manager(settings: RouterSettings) -> Document:
    receive = duration(settings.receive_timeout_seconds)
    return {
        "@type": type_url("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "predictions",
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": watched(settings, ROUTES_FILE)},
        "http_filters": [
            *access.filters(settings),
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
        "local_reply_config": local_replies(settings),
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


def _stats() -> Document:
    """Label the figures of a cluster, MODEL/vVERSION[/grpc], with `model`, `version` and `protocol`, for PromQL."""
    return {
        "use_all_default_tags": False,
        "stats_tags": [
            {"tag_name": "model", "regex": r"^cluster\.((.+?)/)v\d+[./]"},
            {"tag_name": "version", "regex": r"^cluster\..+?/(v(\d+)[./])"},
            {"tag_name": "protocol", "regex": r"^cluster\..+?/v\d+/((grpc)\.)"},
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
