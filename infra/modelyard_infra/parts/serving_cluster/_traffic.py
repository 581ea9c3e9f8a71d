"""How a Gateway treats requests to models, where Gateway API itself has no words for it."""

from collections.abc import Mapping
from pathlib import Path

from modelyard.serving.access import CLIENT_HEADER, KEY_HEADERS, key_set
from modelyard_infra.contracts import SecretReference
from modelyard_infra.parts._tokens import Issuer
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import Document

ENVOY_GATEWAY = "gateway.envoyproxy.io/v1alpha1"
NAME = "models"


def envoy_gateway(objects: Objects, labels: Mapping[str, str], *, max_request_mib: int) -> None:
    """As locally: the idlest replica is asked, another one if that doesn't answer, and no request is too large.

    Args:
        objects: Makes them.
        labels: Of the HTTPRoutes that it is about.
        max_request_mib: A larger request is answered with 413.
    """
    spec = {
        "targetSelectors": [_routes(labels)],
        "loadBalancer": {"type": "LeastRequest"},
        "requestBuffer": {"limit": f"{max_request_mib}Mi"},
        "retry": {
            # A prediction changes nothing, so asking another replica is safe even after the request was sent.
            "numRetries": 4,
            "retryOn": {
                "triggers": ["connect-failure", "refused-stream", "reset", "retriable-status-codes", "unavailable"],
                "httpStatusCodes": [503],
            },
            "perRetry": {"backOff": {"baseInterval": "25ms", "maxInterval": "500ms"}},
        },
        "healthCheck": {
            "panicThreshold": 0,
            "passive": {
                # A model's own 500 says something about the request; only a replica that can't answer is put aside.
                "splitExternalLocalOriginErrors": True,
                "consecutive5XxErrors": 1000000,
                "consecutiveGatewayErrors": 5,
                "consecutiveLocalOriginFailures": 2,
                "interval": "1s",
                "baseEjectionTime": "2s",
                "maxEjectionPercent": 50,
            },
        },
        "circuitBreaker": {"maxConnections": 4096, "maxPendingRequests": 1024, "maxParallelRequests": 1024},
        "timeout": {"tcp": {"connectTimeout": "1s"}},
    }
    objects.custom(ENVOY_GATEWAY, "BackendTrafficPolicy", NAME, spec)


def guarded(
    objects: Objects, labels: Mapping[str, str], *, keys: Mapping[str, SecretReference], issuer: Issuer | None
) -> None:
    """Turn away whoever has no key, or no token; with neither, nobody.

    Args:
        objects: Makes them.
        labels: Of the HTTPRoutes that it is about.
        keys: By client, all in one Secret; model servers are told the client, not the key.
        issuer: Whose tokens are taken.
    """
    spec: Document = {"targetSelectors": [_routes(labels)]}
    if keys:
        secret = next(iter(keys.values())).name
        spec["apiKeyAuth"] = {
            "credentialRefs": [{"group": "", "kind": "Secret", "name": secret}],
            "extractFrom": [{"headers": list(KEY_HEADERS)}],
            "forwardClientIDHeader": CLIENT_HEADER,
            "sanitize": True,
        }
    elif issuer:
        spec["jwt"] = {"providers": [_provider(objects, issuer)]}
    else:
        return
    objects.custom(ENVOY_GATEWAY, "SecurityPolicy", NAME, spec)


def _provider(objects: Objects, issuer: Issuer) -> Document:
    provider: Document = {
        "name": "issuer",
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        "claimToHeaders": [{"header": CLIENT_HEADER, "claim": "sub"}],
    }
    if issuer.jwks_file:
        name = objects.config_map(f"{NAME}-jwks", {"jwks": key_set(Path(issuer.jwks_file))})
        reference = {"group": "", "kind": "ConfigMap", "name": name}
        return provider | {"localJWKS": {"type": "ValueRef", "valueRef": reference}}
    return provider | {"remoteJWKS": {"uri": issuer.jwks_url}}


def _routes(labels: Mapping[str, str]) -> Document:
    return {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "matchLabels": dict(labels)}
