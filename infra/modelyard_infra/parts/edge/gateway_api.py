"""A Gateway (https://gateway-api.sigs.k8s.io) of the platform's own, to which the parts attach their routes.

Creates: the Gateway with one listener, and the certificate's Secret or what cert-manager gets it by. The cluster has a
controller for the class already: Envoy Gateway, or another one that keeps to the specification.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pulumi import ComponentResource, Output, Resource, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.contracts import EdgeEndpoint
from modelyard_infra.field_types import HostName, ObjectName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.edge import _oidc
from modelyard_infra.parts.edge._oidc import Oidc
from modelyard_infra.parts.edge._tls import Tls, TlsFiles, TlsIssuer
from modelyard_infra.workloads.objects import Objects

NEEDS = ("images", "cluster")
PART = "edge"
LISTENER = "web"
CERTIFICATE = "edge-certificate"
GATEWAY_API = "gateway.networking.k8s.io/v1"


class Settings(PartSettings):
    """Settings of a Gateway.

    Attributes:
        domain: Hosts are `mlflow.<domain>` and `models.<domain>`, unless the next two say otherwise.
        tracking_host: Where MLflow is asked for.
        serving_host: Where models are.
        tls: Where the certificate comes from.
        plain_http: Let requests, and the passwords in them, come in unencrypted; for networks where nobody listens.
        gateway_class: Who carries the requests; `kubectl get gatewayclasses` lists them.
        port: Where it listens; left out, 443, or 80 without a certificate.
        router_namespace: Where the pods run that carry the requests, which NetworkPolicies have to let in.
        policies: Whose own objects say what Gateway API can't (retries, limits): `envoy_gateway`, or `none`.
        oidc: Where people sign in to MLflow with a browser; programs go on to log in with passwords and tokens.
    """

    domain: HostName
    tracking_host: HostName | None = None
    serving_host: HostName | None = None
    tls: Tls | None = None
    plain_http: bool = False
    gateway_class: ObjectName = "envoy-gateway"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    router_namespace: ObjectName = "envoy-gateway-system"
    policies: Literal["envoy_gateway", "none"] = "envoy_gateway"
    oidc: Oidc | None = None

    @field_validator("oidc")
    @classmethod
    def _by_envoy_gateway(cls, value: Oidc | None, info: ValidationInfo) -> Oidc | None:
        if value is not None and info.data.get("policies") == "none":
            raise ValueError("Envoy Gateway sends people there, and policies is none")
        return value

    @field_validator("plain_http")
    @classmethod
    def _encrypted(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("tls") is None:
            raise ValueError("there is no `tls`, and passwords would go over the network as they are")
        if value and info.data.get("tls") is not None:
            raise ValueError("there is `tls` too: choose one of them")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    found = {GATEWAY_API: "install Gateway API: https://gateway-api.sigs.k8s.io/guides/getting-started/"}
    found[f"{GATEWAY_API}/gatewayclasses/{settings.gateway_class}"] = (
        "set edge.gateway_class to one that `kubectl get gatewayclasses` lists, or install the controller that makes it"
    )
    if settings.policies == "envoy_gateway":
        found["gateway.envoyproxy.io/v1alpha1"] = (
            "install Envoy Gateway: https://gateway.envoyproxy.io/docs/install/ (or set edge.policies to none)"
        )
    if isinstance(settings.tls, TlsIssuer):
        found["cert-manager.io/v1"] = "install cert-manager: https://cert-manager.io/docs/installation/"
    return found


class GatewayEdge(ComponentResource):
    """The platform's own Gateway."""

    endpoint: EdgeEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:edge:GatewayApi", inputs.name, None, opts)
        self._settings = settings
        self._objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        hosts = {
            "tracking_server": settings.tracking_host or f"mlflow.{settings.domain}",
            "serving_cluster": settings.serving_host or f"models.{settings.domain}",
        }
        port = settings.port or (443 if settings.tls else 80)
        secret, after = self._certificate(sorted(hosts.values()))
        gateway = self._objects.custom(
            GATEWAY_API,
            "Gateway",
            PART,
            {
                "gatewayClassName": settings.gateway_class,
                "listeners": [self._listener(port, secret)],
            },
            metadata={"annotations": {"pulumi.com/waitFor": "condition=Programmed", **self._objects.patience}},
            depends_on=after,
        )
        self.endpoint = EdgeEndpoint(
            gateway.urn.apply(lambda _: PART),
            inputs.cluster.namespace_name,
            LISTENER,
            "https" if settings.tls else "http",
            hosts,
            port,
            settings.router_namespace,
            None if settings.policies == "none" else settings.policies,
            _oidc.envoy_gateway(settings.oidc) if settings.oidc else None,
        )
        self.register_outputs({"hosts": hosts})

    def _listener(self, port: int, secret: str | None) -> dict[str, Any]:
        listener: dict[str, Any] = {
            "name": LISTENER,
            "port": port,
            "protocol": "HTTPS" if secret else "HTTP",
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
        if secret:
            listener["tls"] = {"mode": "Terminate", "certificateRefs": [{"name": secret}]}
        return listener

    def _certificate(self, hosts: list[str]) -> tuple[str | None, list[Resource]]:
        """The name of the Secret that has it, and what has to be there before."""
        tls = self._settings.tls
        if tls is None:
            return None, []
        if isinstance(tls, TlsFiles):
            return CERTIFICATE, [self._objects.tls_secret(CERTIFICATE, *_pair(tls))]
        if isinstance(tls, TlsIssuer):
            issuer = {"kind": "ClusterIssuer" if tls.cluster_wide else "Issuer", "name": tls.name}
            spec = {"secretName": CERTIFICATE, "dnsNames": hosts, "issuerRef": issuer}
            return CERTIFICATE, [self._objects.custom("cert-manager.io/v1", "Certificate", CERTIFICATE, spec)]
        return tls.name, []


def _pair(files: TlsFiles) -> tuple[Output[str], Output[str]]:
    certificate, key = Path(files.certificate_file).read_text(), Path(files.private_key_file).read_text()
    return Output.from_input(certificate), Output.secret(key)


def build(settings: Settings, inputs: PartInputs) -> EdgeEndpoint:
    """Build the part."""
    return GatewayEdge(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
