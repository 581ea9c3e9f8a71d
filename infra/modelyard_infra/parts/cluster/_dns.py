"""Where a cluster's pods ask for names, as settings and as NetworkPolicies have it."""

from typing import Annotated, Any

from pydantic import Field

from modelyard_infra.field_types import Network, ObjectName, Port
from modelyard_infra.parts import PartSettings
from modelyard_infra.workloads.ways import pods_of


class Dns(PartSettings):
    """Where pods ask for names.

    Attributes:
        namespace: Of the name server's pods; OpenShift's is `openshift-dns`.
        ports: Where these listen: 53, 8053 in some clusters, 5353 in OpenShift.
        networks: Addresses besides: of a cache on every node (NodeLocal DNSCache) `169.254.20.10/32`, or what
            `/etc/resolv.conf` of a pod has where name servers aren't pods.
    """

    namespace: ObjectName = "kube-system"
    ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (53, 8053)
    networks: tuple[Network, ...] = ()

    def egress(self) -> dict[str, Any]:
        """A rule of a NetworkPolicy."""
        blocks = [{"ipBlock": {"cidr": network}} for network in self.networks]
        ports = [{"protocol": protocol, "port": port} for port in self.ports for protocol in ("UDP", "TCP")]
        return {"to": [pods_of(self.namespace), *blocks], "ports": ports}
