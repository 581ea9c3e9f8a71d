"""The whole platform: builds the parts in order and hands each the contracts of those before it."""

import json
from collections.abc import Mapping
from typing import Any

from pulumi import ComponentResource, Output, ResourceOptions, export

from modelyard.home import platform_folder
from modelyard.kube import connect
from modelyard_infra.contracts import (
    ArtifactLocation,
    ClusterAccess,
    DatabaseEndpoint,
    EdgeEndpoint,
    Images,
    MonitoringEndpoint,
    Reachable,
    SecretReference,
    ServingEndpoint,
    TrackingEndpoint,
)
from modelyard_infra.local_platform import LocalPlatform
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import HOLD_DATA, ORDER
from modelyard_infra.resources.descriptor_file import DescriptorFile
from modelyard_infra.resources.part_kind import PartKind
from modelyard_infra.settings import StackSettings


class Yard(ComponentResource):
    """One platform.

    Args:
        settings: What the stack asks for.
    """

    def __init__(self, settings: StackSettings, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:yard:Yard", settings.stack, None, opts)
        self.contracts: dict[str, Reachable] = {}
        local = LocalPlatform(
            settings.stack,
            parent=self,
            protect=settings.general.protect,
            minimum_free_mib=settings.general.minimum_free_mib,
            after=self._kinds(settings),
        )
        chosen_parts = settings.parts.values()
        volumes = any(chosen.kind.volumes for chosen in chosen_parts)
        apis = {api: fix for chosen in chosen_parts for api, fix in chosen.kind.apis(chosen.settings).items()}
        for part in ORDER:
            if part in settings.parts:
                chosen = settings.parts[part]
                contracts, protect = dict(self.contracts), settings.general.protect
                inputs = PartInputs(part, settings.stack, protect, self, local, contracts, apis, volumes)
                self.contracts[part] = chosen.kind.build(chosen.settings, inputs)
        if local.is_used:
            self._describe(settings, local)
        elif isinstance(cluster := self.contracts.get("cluster"), ClusterAccess):
            self._describe_cluster(settings, cluster)
        self.register_outputs({})

    def export_outputs(self) -> None:
        """Export what people and other stacks want to know of each part."""
        for part, contract in self.contracts.items():
            export(part, _address(contract))

    def _kinds(self, settings: StackSettings) -> list[PartKind]:
        """The kinds of the parts that hold data, remembered, so that a change of one is refused before all else."""
        made = []
        for part in sorted(HOLD_DATA & settings.parts.keys()):
            chosen = settings.parts[part]
            made.append(
                PartKind(
                    f"{part}-kind",
                    part=part,
                    kind=chosen.kind.name,
                    place=chosen.kind.place(chosen.settings),
                    migrated_from=chosen.migrated_from,
                    opts=ResourceOptions(parent=self),
                )
            )
        return made

    def _describe_cluster(self, settings: StackSettings, cluster: ClusterAccess) -> None:
        """What the `modelyard` command has to know: where the cluster is, and where clients ask.

        In a file for this machine, and in a ConfigMap for others: `modelyard connect`.
        """
        from modelyard_infra.workloads.objects import Objects  # not for platforms of this machine: it is heavy

        folder = str(platform_folder(settings.stack))
        place = {"kubeconfig": cluster.kubeconfig, "context": cluster.context, "namespace": cluster.namespace}
        document: dict[str, Any] = {
            "stack": settings.stack,
            "protect": settings.general.protect,
            "folder": folder,
            "cluster": {key: value for key, value in place.items() if value is not None},
        }
        for part, section in _reached_from_outside(self.contracts).items():
            document[part] = {"kind": settings.parts[part].kind.name} | section
        text: Output[str] = Output.json_dumps(document).apply(lambda known: connect.published(json.loads(known)))
        objects = Objects("platform", cluster=cluster, images=Images({}), stack=settings.stack, parent=self)
        objects.config_map(connect.CONFIG_MAP, {connect.KEY: text})
        DescriptorFile("descriptor", folder=folder, document=document, opts=ResourceOptions(parent=self))

    def _describe(self, settings: StackSettings, local: LocalPlatform) -> None:
        document: dict[str, Any] = {
            "stack": settings.stack,
            "protect": settings.general.protect,
            "folder": str(local.path),
        }
        for part, contract in self.contracts.items():
            document[part] = {"kind": settings.parts[part].kind.name} | _description(contract)
        DescriptorFile(
            "descriptor",
            folder=local.resource.folder,
            document=document,
            opts=ResourceOptions(parent=self),
        )


def _reached_from_outside(contracts: Mapping[str, Reachable]) -> dict[str, dict[str, Any]]:
    """Sections of the parts that an edge leads to: its addresses for them, and where the keys to them are kept."""
    edge = contracts.get("edge")
    if not isinstance(edge, EdgeEndpoint):
        return {}
    found: dict[str, dict[str, Any]] = {}
    if isinstance(tracking := contracts.get("tracking_server"), TrackingEndpoint):
        login = {"username": tracking.username, "password_secret": _key(tracking.password)} if tracking.password else {}
        found["tracking_server"] = {"url": edge.url("tracking_server")} | login
    if isinstance(serving := contracts.get("serving_cluster"), ServingEndpoint):
        url = edge.url("serving_cluster")
        keys = {client: _key(reference) for client, reference in serving.api_keys.items()}
        found["serving_cluster"] = {"url": url, "admin_url": url, "agent_url": url, "api_key_secrets": keys}
    return found


def _key(secret: SecretReference) -> dict[str, Any]:
    return {"name": secret.name, "key": secret.key}


def _address(contract: Reachable) -> Any:
    match contract:
        case DatabaseEndpoint():
            return Output.format("postgresql://{0}:{1}", contract.host, contract.port)
        case ArtifactLocation():
            known = Output.all(contract.bucket, contract.endpoint_url)
            return known.apply(lambda where: f"s3://{where[0]} at {where[1] or f'AWS, {contract.region}'}")
        case TrackingEndpoint() | ServingEndpoint():
            return contract.url
        case MonitoringEndpoint():
            return contract.prometheus_url
        case ClusterAccess():
            return contract.namespace
        case EdgeEndpoint():
            return {part: contract.url(part) for part in contract.hosts}
        case Images():
            return dict(contract.references)
    raise TypeError(f"no address is known for a {type(contract).__name__}")


def _description(contract: Reachable) -> dict[str, Any]:
    """The contract's section of the descriptor."""
    match contract:
        case DatabaseEndpoint():
            databases = {
                key: {"name": access.name, "user": access.user, "password_file": access.password.path}
                for key, access in contract.databases.items()
            }
            return {"host": contract.host, "port": contract.port, "databases": databases}
        case ArtifactLocation():
            return {
                "endpoint_url": contract.endpoint_url,
                "region": contract.region,
                "bucket": contract.bucket,
                "access_key_file": contract.access_key.path,
                "secret_key_file": contract.secret_key.path,
            }
        case TrackingEndpoint():
            password = {"password_file": contract.password.path} if contract.password else {}
            return {"url": contract.url, "username": contract.username} | password
        case ServingEndpoint():
            keys = {"api_key_files": {client: key.path for client, key in contract.api_keys.items()}}
            urls = {"url": contract.url, "admin_url": contract.admin_url, "agent_url": contract.agent_url}
            return urls | (keys if contract.api_keys else {})
        case MonitoringEndpoint():
            return {
                "prometheus_url": contract.prometheus_url,
                "alertmanager_url": contract.alertmanager_url,
                "pushgateway_url": contract.pushgateway_url,
            }
    raise TypeError(f"no description is known for a {type(contract).__name__}")
