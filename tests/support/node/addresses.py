"""Which addresses a test cluster has. They are routed to its network namespace and nowhere else."""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """The addresses of one cluster.

    Attributes:
        number: Which of the clusters of this machine, 0 to 15.
    """

    number: int = 0

    @property
    def _block(self) -> int:
        return int(ipaddress.ip_address("10.213.0.0")) + self.number * 4096

    def _network(self, offset: int, prefix: int) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network((self._block + offset, prefix))

    @property
    def link(self) -> ipaddress.IPv4Network:
        """Between this machine and the node."""
        return self._network(0, 30)

    @property
    def host(self) -> str:
        """This machine's end of the link."""
        return str(self.link[1])

    @property
    def node(self) -> str:
        """The node's end of the link: API server, image registry, NodePorts."""
        return str(self.link[2])

    @property
    def services(self) -> ipaddress.IPv4Network:
        """Of Services."""
        return self._network(1024, 24)

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """Of pods."""
        return self._network(2048, 24)

    @property
    def api_service(self) -> str:
        """The Service `kubernetes`."""
        return str(self.services[1])

    @property
    def dns(self) -> str:
        """The Service of the cluster's name server."""
        return str(self.services[10])

    @property
    def interface(self) -> str:
        """This machine's end of the link, as `ip link` names it."""
        return f"mynode{self.number}"

    @property
    def api(self) -> str:
        """The API server's address."""
        return f"https://{self.node}:6443"

    @property
    def registry(self) -> str:
        """The image registry's `host:port`; plain HTTP."""
        return f"{self.node}:5000"
