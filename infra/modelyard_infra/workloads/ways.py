"""The ways to and from the pods of one part: all are closed, and each that is needed is opened by a NetworkPolicy."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as kubernetes

from modelyard_infra.contracts import EdgeEndpoint
from modelyard_infra.workloads.named import PART, Named
from modelyard_infra.workloads.pods import Document

ANYWHERE: tuple[Document, ...] = (
    {"namespaceSelector": {}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}},
)
"""To a NetworkPolicy: everywhere, but to a cloud's metadata."""


def uses(part: str) -> str:
    """The label of pods that may reach a part's."""
    return f"modelyard.dev/uses-{part}"


def pods_of(namespace: str) -> Document:
    """To a NetworkPolicy: all pods of a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def tcp(*ports: int) -> list[Document]:
    """To a NetworkPolicy: these ports."""
    return [{"protocol": "TCP", "port": port} for port in ports]


class Ways(Named):
    """Opens the ways of one part."""

    def reachable(self, *numbers: int) -> None:
        """Open the way from pods that use this part to these ports of its own."""
        own, users, ports = {PART: self._part}, {uses(self._part): "true"}, tcp(*numbers)
        self.ways(f"to-{self._part}", own, into=[{"from": [{"podSelector": _with(users)}], "ports": ports}])
        out: Document = {"to": [{"podSelector": _with(own)}], "ports": ports}
        self.ways(f"from-users-of-{self._part}", users, out=[out])

    def reachable_by_router(self, edge: EdgeEndpoint, *numbers: int) -> None:
        """Open the way from the pods that carry a Gateway's requests to these ports of this part."""
        into: Document = {"from": [pods_of(edge.router_namespace)], "ports": tcp(*numbers)}
        self.ways(f"from-router-to-{self._part}", {PART: self._part}, into=[into])

    def reachable_from_namespace(self, namespace: str, name: str, *numbers: int) -> None:
        """Open the way from another namespace's pods to these ports of the pods of a name, of whichever part."""
        into: Document = {"from": [pods_of(namespace)], "ports": tcp(*numbers)}
        self.ways(f"from-{namespace}-to-{name}", self._selector(name), into=[into])

    def reaches_api(self, name: str) -> None:
        """Open the way from the pods of this name to the cluster's API server, wherever that is."""
        self.ways(f"from-{name}-to-api", self._selector(name), out=[{"ports": tcp(*self._cluster.api_ports)}])

    def reaches_outside(self, name: str, *numbers: int) -> None:
        """Open the way from the pods of this name to these ports anywhere, but to a cloud's metadata."""
        out: Document = {"to": list(ANYWHERE), "ports": tcp(*numbers)}
        self.ways(f"from-{name}-to-outside", self._selector(name), out=[out])

    def reaches_namespace(self, namespace: str, *numbers: int) -> None:
        """Open the way from pods that use this part to these ports in another namespace."""
        out: Document = {"to": [pods_of(namespace)], "ports": tcp(*numbers)}
        self.ways(f"from-users-of-{self._part}-to-{namespace}", {uses(self._part): "true"}, out=[out])

    def users_reach(self, peers: Sequence[Document], *numbers: int) -> None:
        """Open the way from pods that use this part to these ports of what runs elsewhere.

        Args:
            peers: As NetworkPolicies have them.
        """
        out: Document = {"to": list(peers), "ports": tcp(*numbers)}
        self.ways(f"from-users-of-{self._part}-to-it", {uses(self._part): "true"}, out=[out])

    def ways(
        self, name: str, pods: Mapping[str, str], *, into: Sequence[Document] = (), out: Sequence[Document] = ()
    ) -> None:
        """Open ways of pods with these labels.

        Args:
            name: The NetworkPolicy's.
            pods: Their labels.
            into: Who may come in where, as NetworkPolicies have it.
            out: Where they may go.
        """
        spec: Document = {"podSelector": _with(pods)}
        rules = {"Ingress": list(into), "Egress": list(out)}
        spec["policyTypes"] = [kind for kind, listed in rules.items() if listed]
        spec |= {kind.lower(): listed for kind, listed in rules.items() if listed}
        kubernetes.networking.v1.NetworkPolicy(name, metadata=self._metadata(name), spec=spec, opts=self._opts())


def _with(labels: Mapping[str, str]) -> Document:
    return {"matchLabels": dict(labels)}
