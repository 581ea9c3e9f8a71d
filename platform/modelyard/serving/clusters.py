"""The router's clusters and endpoints as documents.

A cluster is one model version, `MODEL/vVERSION`, and another one for gRPC, `MODEL/vVERSION/grpc`: Envoy speaks HTTP/1.1
to one port of the replicas and HTTP/2 to the other.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.serving.documents import Document, discovery, type_url, watched
from modelyard.serving.envoy import ENDPOINTS_FOLDER
from modelyard.serving.settings import RouterSettings

METADATA = "modelyard"
HTTP_2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": type_url("extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@dataclass(frozen=True)
class Endpoint:
    """A replica: a draining one finishes its requests and gets no new ones."""

    port: int
    draining: bool = False
    grpc_port: int | None = None


@dataclass(frozen=True)
class VersionEndpoints:
    """The replicas of one model version that requests may reach."""

    model: str
    version: int
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def cluster(self) -> str:
        return cluster_name(self.model, self.version)

    @property
    def grpc_cluster(self) -> str:
        return grpc_cluster_name(self.model, self.version)


def cluster_name(model: str, version: int) -> str:
    return f"{model}/v{version}"


def grpc_cluster_name(model: str, version: int) -> str:
    return f"{cluster_name(model, version)}/grpc"


def slug(name: str) -> str:
    """The name itself if it can be part of a file's or process's name, else something like it, as unique."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def endpoints_file(model: str, version: int) -> str:
    return f"{ENDPOINTS_FOLDER}/{slug(model)}-v{version}.json"


def grpc_endpoints_file(model: str, version: int) -> str:
    return f"{ENDPOINTS_FOLDER}/{slug(model)}-v{version}-grpc.json"


def endpoints(version: VersionEndpoints) -> Document:
    """The endpoint discovery document of one model version."""
    return _assignment(version.cluster, version.version, [(one.port, one.draining) for one in version.endpoints])


def grpc_endpoints(version: VersionEndpoints) -> Document:
    """The same of its replicas' gRPC ports."""
    ports = [(one.grpc_port, one.draining) for one in version.endpoints if one.grpc_port is not None]
    return _assignment(version.grpc_cluster, version.version, ports)


def _assignment(cluster: str, version: int, ports: Sequence[tuple[int, bool]]) -> Document:
    places = [_lb_endpoint(version, port, draining=draining) for port, draining in ports]
    assignment = {"cluster_name": cluster, "endpoints": [{"lb_endpoints": places}]}
    return discovery("config.endpoint.v3.ClusterLoadAssignment", [assignment])


def _lb_endpoint(version: int, port: int, *, draining: bool) -> Document:
    return {
        "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}},
        "health_status": "DRAINING" if draining else "HEALTHY",
        "metadata": {"filter_metadata": {METADATA: {"version": str(version)}}},
    }


def clusters(versions: Iterable[VersionEndpoints], settings: RouterSettings) -> Document:
    """The cluster discovery document."""
    found = []
    for version in versions:
        found.append(_cluster(version.cluster, endpoints_file(version.model, version.version), settings))
        if settings.grpc:
            file = grpc_endpoints_file(version.model, version.version)
            found.append(_cluster(version.grpc_cluster, file, settings) | {"typed_extension_protocol_options": HTTP_2})
    return discovery("config.cluster.v3.Cluster", found)


def _cluster(name: str, file: str, settings: RouterSettings) -> Document:
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched(settings, file)},
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
            "consecutive_local_origin_failure": 2,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
    }
