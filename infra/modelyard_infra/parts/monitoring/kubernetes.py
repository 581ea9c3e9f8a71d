"""Monitoring in a cluster: Prometheus, Alertmanager, Pushgateway and exporters in the platform's own namespace.

Creates: a StatefulSet each for those that keep something, a Deployment each for the others, dashboards as ConfigMaps.
Prometheus has no rights on the cluster: it finds replicas by name. kube-state-metrics may list what the namespace has.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pulumi import ComponentResource, Output, Resource, ResourceOptions
from pydantic import Field, PositiveInt, ValidationInfo, field_validator

import modelyard.monitoring
from modelyard_infra.contracts import MonitoringEndpoint, ScrapeTarget
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.monitoring import _cluster_receiver, _config, _grafana, _scraped
from modelyard_infra.parts.monitoring._config import NoReceiver
from modelyard_infra.parts.monitoring._servers import ALERTMANAGER, PROBER, PROMETHEUS, PUSHGATEWAY, Servers
from modelyard_infra.workloads.pods import SETTINGS, Memory, Resources

NEEDS = ("images", "cluster")
IMAGES = ("prometheus",)
VOLUMES = True
GIB = {"Ki": 2**-20, "Mi": 2**-10, "Gi": 1.0, "Ti": 2.0**10}
RULES = ".rules.yaml"


class Settings(PartSettings):
    """Settings of a monitoring in a cluster.

    Attributes:
        resources: Of Prometheus' pod; it needs more as there are more models.
        small_resources: Of Alertmanager's and of the Pushgateway's.
        scrape_seconds: Between two looks at a part.
        retention_days: How long Prometheus keeps what it saw.
        retention_gib: How much of it, at most.
        storage: Of Prometheus' volume; some more than `retention_gib`, since what came last is on it twice.
        small_storage: Of Alertmanager's and the Pushgateway's volumes; many clouds have no smaller one.
        receiver: Who gets alerts: `{kind: none}`, `webhook`, `slack` or `email`.
        pod_metrics: Watch the pods themselves, by a kube-state-metrics that may list those of this namespace. Without
            it nothing is known of restarts, Jobs that fail and memory that runs out.
        dashboards: How a Grafana finds the dashboards; null: there are none.
    """

    resources: Resources = Resources(cpu="100m", memory="320Mi")
    small_resources: Resources = Resources(cpu="10m", memory="48Mi")
    scrape_seconds: Annotated[int, Field(ge=1, le=60)] = 15  # the rules look at five minutes
    retention_days: PositiveInt = 15
    retention_gib: PositiveInt = 5
    storage: Memory = "8Gi"
    small_storage: Memory = "1Gi"
    receiver: _cluster_receiver.Receiver = NoReceiver()
    pod_metrics: bool = True
    dashboards: _grafana.Dashboards | None = _grafana.Dashboards()

    @field_validator("storage")
    @classmethod
    def _larger_than_what_is_kept(cls, value: str, info: ValidationInfo) -> str:
        kept = info.data.get("retention_gib")
        if kept is not None and float(value[:-2]) * GIB[value[-2:]] < kept * 1.2:
            raise ValueError(f"retention_gib is {kept}, and the volume has to be a fifth larger at least")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


class KubernetesMonitoring(ComponentResource):
    """Prometheus and its company in the platform's namespace."""

    endpoint: MonitoringEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:monitoring:Kubernetes", inputs.name, None, inputs.was("External", opts=opts))
        self._settings, self._inputs = settings, inputs
        self._servers = servers = Servers(inputs, self)
        alertmanager = servers.alertmanager(settings.receiver, settings.small_resources, settings.small_storage)
        pushgateway = servers.pushgateway(settings.small_resources, settings.small_storage)
        if inputs.probe:
            servers.prober(_scraped.parts_with_probes(inputs.contracts))
        if "registry_database" in inputs.contracts:
            servers.database_exporter()
        if settings.pod_metrics:
            servers.pod_metrics()
        prometheus = self._prometheus()
        if settings.dashboards:
            _grafana.make(settings.dashboards, servers.objects(PROMETHEUS), inputs.stack)
        self.endpoint = MonitoringEndpoint(
            self._url(PROMETHEUS, prometheus),
            self._url(ALERTMANAGER, alertmanager),
            self._url(PUSHGATEWAY, pushgateway),
        )
        self.register_outputs({"prometheus_url": self.endpoint.prometheus_url})

    def _url(self, name: str, server: Resource) -> Output[str]:
        return server.urn.apply(lambda _: f"http://{self._servers.address(name)}")

    def _prometheus(self) -> Resource:
        targets = [*self._inputs.scrape, *self._servers.targets()]
        itself = ScrapeTarget(PROMETHEUS, Output.from_input("localhost:9090"))
        known = Output.all(
            targets=[_scraped.as_mapping(target) for target in (*targets, itself)],
            target_urls=self._inputs.scrape_urls,
            probes=self._inputs.probe,
        )
        paths = modelyard.monitoring.cluster_rule_files(pods=self._settings.pod_metrics)
        rules = {f"{path.stem}{RULES}": path.read_text() for path in paths}
        config = known.apply(self._config)
        text = config.apply(lambda value: "".join([value, *rules.values()]))
        others = [name for name in self._servers.made if name != PROMETHEUS]
        keep = [
            f"--storage.tsdb.retention.time={self._settings.retention_days}d",
            f"--storage.tsdb.retention.size={self._settings.retention_gib}GB",
        ]
        return self._servers.prometheus(
            {"prometheus.yml": config, **rules},
            text,
            resources=self._settings.resources,
            storage=self._settings.storage,
            keep=keep,
            uses=[*_scraped.parts_with_metrics(self._inputs.contracts), *others],
            secrets=_scraped.passwords(targets),
        )

    def _config(self, known: Mapping[str, Any]) -> str:
        document = _config.prometheus(
            stack=self._inputs.stack,
            scrape_seconds=self._settings.scrape_seconds,
            targets=known["targets"],
            target_files={},
            target_urls=known["target_urls"],
            probes=known["probes"],
            prober=self._servers.address(PROBER),
            alertmanager=self._servers.address(ALERTMANAGER),
            rules=f"{SETTINGS}/*{RULES}",
        )
        return json.dumps(document, indent=1)


def build(settings: Settings, inputs: PartInputs) -> MonitoringEndpoint:
    """Build the part."""
    return KubernetesMonitoring(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
