"""The router's clusters and endpoints as documents. A cluster is one model version: `MODEL/vVERSION`."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard.serving.envoy import ENDPOINTS_FOLDER, Document, type_url, watched
from modelyard.serving.settings import RouterSettings


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


def cluster_name(model: str, version: int) -> str:
    return f"{model}/v{version}"


def slug(name: str) -> str:
    """The name itself if it can be part of a file's or process's name, else something like it, as unique."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def endpoints_file(model: str, version: int) -> str:
    return f"{ENDPOINTS_FOLDER}/{slug(model)}-v{version}.json"


def endpoints(version: VersionEndpoints) -> Document:
    """The endpoint discovery document of one model version."""
    return discovery(
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
    return discovery("config.cluster.v3.Cluster", [_cluster(version, settings) for version in versions])


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
            "consecutive_local_origin_failure": 2,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
    }


def discovery(kind: str, resources: list[Document]) -> Document:
    """What Envoy reads from one file; its version is a digest of its content."""
    version = hashlib.sha256(json.dumps(resources).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": [{"@type": type_url(kind)} | resource for resource in resources]}
