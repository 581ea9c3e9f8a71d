"""What a kind gets to build with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pulumi import Alias, ComponentResource, Output, ResourceOptions

from modelyard_infra.contracts import (
    ArtifactLocation,
    ClusterAccess,
    DatabaseEndpoint,
    EdgeEndpoint,
    Images,
    MetricsPods,
    Reachable,
    ScrapeTarget,
    TrackingEndpoint,
)
from modelyard_infra.local_platform import LocalPlatform

T = TypeVar("T", bound=Reachable)


@dataclass
class PartInputs:
    """What a kind gets to build with.

    Attributes:
        name: The part's name; names of resources start with it.
        stack: The stack's name.
        protect: Whether what holds data must be protected.
        parent: The component that the part's component belongs to.
        local: The local platform, for kinds that run processes on this machine.
        contracts: The contracts of the parts before this one.
        apis: What the cluster has to have for any of the parts, as a path below `/apis`, and what to do where it
            doesn't.
        volumes: Whether any of the parts keeps data on the cluster's volumes.
    """

    name: str
    stack: str
    protect: bool
    parent: ComponentResource
    local: LocalPlatform
    contracts: dict[str, Reachable] = field(default_factory=dict)
    apis: Mapping[str, str] = field(default_factory=dict)
    volumes: bool = False

    def was(self, *kinds: str, opts: ResourceOptions | None) -> ResourceOptions:
        """Options of a component that takes over what another kind of the part made, where a stack turns to it.

        Objects that both have keep their names: without this they would be made first, and then deleted as the other's.

        Args:
            kinds: The last words of the others' types.
        """
        aliases = [Alias(type_=f"modelyard:{self.name}:{kind}") for kind in kinds]
        return ResourceOptions.merge(opts, ResourceOptions(aliases=aliases))

    @property
    def images(self) -> Images:
        return self._contract("images", Images)

    @property
    def cluster(self) -> ClusterAccess:
        return self._contract("cluster", ClusterAccess)

    @property
    def edge(self) -> EdgeEndpoint | None:
        """How the platform is reached from outside, if it is."""
        return self._contract("edge", EdgeEndpoint) if "edge" in self.contracts else None

    @property
    def database(self) -> DatabaseEndpoint:
        return self._contract("registry_database", DatabaseEndpoint)

    @property
    def artifacts(self) -> ArtifactLocation:
        return self._contract("artifact_store", ArtifactLocation)

    @property
    def tracking(self) -> TrackingEndpoint:
        return self._contract("tracking_server", TrackingEndpoint)

    @property
    def scrape_files(self) -> dict[str, Output[str]]:
        """Files with more targets, of every part before this one."""
        return {job: file for contract in self.contracts.values() for job, file in contract.scrape_files.items()}

    @property
    def scrape_urls(self) -> dict[str, Output[str]]:
        """Addresses that name more targets, of every part before this one."""
        return {job: url for contract in self.contracts.values() for job, url in contract.scrape_urls.items()}

    @property
    def scrape_pods(self) -> dict[str, MetricsPods]:
        """The pods that these addresses name."""
        return {job: pods for contract in self.contracts.values() for job, pods in contract.scrape_pods.items()}

    @property
    def probe(self) -> dict[str, Output[str]]:
        """What to probe, of every part before this one."""
        return {name: url for contract in self.contracts.values() for name, url in contract.probe.items()}

    @property
    def scrape(self) -> tuple[ScrapeTarget, ...]:
        """The metrics of every part before this one."""
        return tuple(target for contract in self.contracts.values() for target in contract.scrape)

    def _contract(self, part: str, kind: type[T]) -> T:
        contract = self.contracts[part]
        assert isinstance(contract, kind), f"{part} built a {type(contract).__name__}"
        return contract
