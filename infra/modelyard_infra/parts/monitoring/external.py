"""Monitoring by a Prometheus operator that the cluster has: https://prometheus-operator.dev

Creates: PodMonitors, ScrapeConfigs and Probes for what there is to scrape, PrometheusRules, dashboards as ConfigMaps;
the exporters that these ask, a Pushgateway, and ways through the platform's NetworkPolicies for that Prometheus.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field

import modelyard.monitoring
from modelyard.monitoring import scope
from modelyard_infra.contracts import MetricsPods, MonitoringEndpoint, ScrapeTarget
from modelyard_infra.field_types import ObjectName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.monitoring import _config, _grafana, _scraped
from modelyard_infra.parts.monitoring._servers import PROBER, PUSHGATEWAY, Servers
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import Memory, Resources

NEEDS = ("images", "cluster")
IMAGES = ("prometheus",)
VOLUMES = True
PART = "monitoring"
V1, V1ALPHA1 = "monitoring.coreos.com/v1", "monitoring.coreos.com/v1alpha1"
INSTALL = "install the Prometheus operator, as by kube-prometheus-stack: https://prometheus-operator.dev/docs/"
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")]


class Settings(PartSettings):
    """Settings of a monitoring by somebody else's Prometheus operator.

    Attributes:
        labels: What the operator's Prometheus selects monitors and rules by; kube-prometheus-stack's is
            `release: <name of the Helm release>`.
        prometheus_namespace: Where that Prometheus is, which NetworkPolicies have to let in.
        prometheus_url: Where pods reach it; left out, as the operator names it.
        alertmanager_url: The same of its Alertmanager.
        prometheus_ports: Where it listens, for NetworkPolicies.
        scrape_seconds: Between two looks at a part.
        pod_rules: Load the rules about pods and volumes, for which it has to scrape a kube-state-metrics.
        pushgateway_resources: Of the Pushgateway, for jobs that end.
        pushgateway_storage: Of its volume.
        dashboards: How a Grafana finds the dashboards; null: there are none.
    """

    labels: dict[LabelName, str] = Field(default_factory=dict)
    prometheus_namespace: ObjectName = "monitoring"
    prometheus_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    alertmanager_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    prometheus_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (9090,)
    scrape_seconds: Annotated[int, Field(ge=1, le=60)] = 15  # the rules look at five minutes
    pod_rules: bool = True
    pushgateway_resources: Resources = Resources(cpu="10m", memory="48Mi")
    pushgateway_storage: Memory = "1Gi"
    dashboards: _grafana.Dashboards | None = _grafana.Dashboards()


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    return {V1: INSTALL, V1ALPHA1: INSTALL}


class ExternalMonitoring(ComponentResource):
    """What a Prometheus operator has to know of the platform."""

    endpoint: MonitoringEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:monitoring:External", inputs.name, None, inputs.was("Kubernetes", opts=opts))
        self._settings, self._inputs = settings, inputs
        cluster = inputs.cluster
        self._series = {"namespace": cluster.namespace_name}
        self._objects = Objects(PART, cluster=cluster, images=inputs.images, stack=inputs.stack, parent=self)
        self._servers = Servers(inputs, self)
        pushgateway = self._exporters()
        for target in (*inputs.scrape, *self._servers.targets()):
            self._scrape(target)
        for job, url in inputs.scrape_urls.items():
            self._discover(job, url, inputs.scrape_pods.get(job))
        for name, url in inputs.probe.items():
            self._probe(name, url)
        for path in modelyard.monitoring.cluster_rule_files(pods=settings.pod_rules):
            self._rules(path.stem, yaml.safe_load(path.read_text()))
        self._objects.reaches_namespace(settings.prometheus_namespace, *settings.prometheus_ports)
        if settings.dashboards:
            _grafana.make(settings.dashboards, self._objects, inputs.stack, series=self._series)
        where = f"{settings.prometheus_namespace}.svc.{cluster.domain}"
        self.endpoint = MonitoringEndpoint(
            Output.from_input(settings.prometheus_url or f"http://prometheus-operated.{where}:9090"),
            Output.from_input(settings.alertmanager_url or f"http://alertmanager-operated.{where}:9093"),
            pushgateway,
        )
        self.register_outputs({"prometheus_url": self.endpoint.prometheus_url})

    def _exporters(self) -> Output[str]:
        """Those that this platform alone needs; returns the Pushgateway's address."""
        settings, inputs, servers = self._settings, self._inputs, self._servers
        pushgateway = servers.pushgateway(settings.pushgateway_resources, settings.pushgateway_storage)
        if inputs.probe:
            servers.prober(_scraped.parts_with_probes(inputs.contracts))
            self._let_in(PROBER, 9115)
        if "registry_database" in inputs.contracts:
            servers.database_exporter()
        return pushgateway.urn.apply(lambda _: f"http://{servers.address(PUSHGATEWAY)}")

    def _let_in(self, name: str, port: int) -> None:
        self._objects.reachable_from_namespace(self._settings.prometheus_namespace, name, port)

    def _custom(self, version: str, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        labels = {**self._objects.labels(name), **self._settings.labels}
        self._objects.custom(version, kind, name, dict(spec), metadata={"labels": labels})

    def _scrape(self, target: ScrapeTarget) -> None:
        """Scrape what a part names: each pod by the name that it has for its neighbours, or pods by their labels."""
        spec = {"metricsPath": target.path, **self._login(target)}
        if target.pods is None:
            self._scrape_config(target.job, {**spec, "staticConfigs": [{"targets": [target.address]}]})
            return
        self._let_in(target.pods.name, target.pods.port)
        if target.pods.each:
            names = [f"_metrics._tcp.{target.pods.each}"]
            found = {"names": names, "type": "SRV", "refreshInterval": _config.REFRESH}
            self._scrape_config(target.job, {**spec, "dnsSDConfigs": [found]})
        else:
            self._pod_monitor(target, target.pods)

    def _login(self, target: ScrapeTarget) -> dict[str, Any]:
        """A user and a password, both from Secrets, as the operator wants it."""
        if target.password is None or target.username is None:
            return {}
        user = self._objects.secret(f"scrape-{target.job}", {"username": target.username})["username"]
        chosen = {"username": user, "password": target.password}
        return {"basicAuth": {field: {"name": one.name, "key": one.key} for field, one in chosen.items()}}

    def _pod_monitor(self, target: ScrapeTarget, pods: MetricsPods) -> None:
        endpoint = {
            "portNumber": pods.port,
            "path": target.path,
            "interval": f"{self._settings.scrape_seconds}s",
            "honorLabels": target.job in _config.SPEAK_OF_OTHERS,
            "relabelings": [{"targetLabel": "job", "replacement": target.job}],
        }
        wanted = {"app.kubernetes.io/name": pods.name, "app.kubernetes.io/instance": self._inputs.stack}
        spec = {"selector": {"matchLabels": wanted}, "podMetricsEndpoints": [endpoint]}
        self._custom(V1, "PodMonitor", pods.name, spec)

    def _discover(self, job: str, url: Output[str], pods: MetricsPods | None) -> None:
        """Scrape what an address names; the pods there let that Prometheus in."""
        if pods:
            self._let_in(pods.name, pods.port)
        self._scrape_config(job, {"httpSDConfigs": [{"url": url, "refreshInterval": _config.REFRESH}]})

    def _scrape_config(self, job: str, spec: Mapping[str, Any]) -> None:
        common = {
            "jobName": job,
            "scrapeInterval": f"{self._settings.scrape_seconds}s",
            "relabelings": [{"targetLabel": name, "replacement": value} for name, value in self._series.items()],
        }
        self._custom(V1ALPHA1, "ScrapeConfig", job, {**common, **spec})

    def _probe(self, name: str, url: Output[str]) -> None:
        spec = {
            "jobName": "probe",
            "interval": f"{self._settings.scrape_seconds}s",
            "module": "healthy",
            "prober": {"url": self._servers.address(PROBER)},
            "targets": {"staticConfig": {"static": [url], "labels": {"part": name}}},
        }
        self._custom(V1, "Probe", name, spec)

    def _rules(self, name: str, document: Mapping[str, Any]) -> None:
        """Rules, narrowed to this platform, whose name is on what they tell."""
        extra = {"platform": self._inputs.stack}
        self._custom(V1, "PrometheusRule", name, scope.rules(document, self._series, extra=extra))


def build(settings: Settings, inputs: PartInputs) -> MonitoringEndpoint:
    """Build the part."""
    return ExternalMonitoring(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
