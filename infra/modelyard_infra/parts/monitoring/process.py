"""Monitoring as processes: Prometheus, Alertmanager, Pushgateway, and exporters for the machine and PostgreSQL.

Creates: data folders and one server each; Prometheus scrapes every part that was built before this one.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pulumi import ComponentResource, Input, Output, ResourceOptions
from pydantic import Field, PositiveInt

import modelyard.monitoring
from modelyard_infra.contracts import MonitoringEndpoint, ScrapeTarget
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.monitoring import _config
from modelyard_infra.programs import program
from modelyard_infra.resources.data_folder import DataFolder
from modelyard_infra.resources.ports import Ports
from modelyard_infra.resources.process import Process

NEEDS: tuple[str, ...] = ()
Port = Annotated[int, Field(ge=1024, le=65535)]
USUAL_PORTS = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "pushgateway": 9091,
    "node": 9100,
    "postgres": 9187,
    "probe": 9115,
}


class Settings(PartSettings):
    """Settings of a monitoring that runs as processes.

    Attributes:
        prometheus_port: Left out, 9090 or a free one; all ports are on loopback.
        alertmanager_port: Left out, 9093 or a free one.
        pushgateway_port: Left out, 9091 or a free one.
        scrape_seconds: Between two looks at a part.
        retention_days: How long Prometheus keeps what it saw.
        retention_gib: How much of it, at most.
        receiver: Who gets alerts: `{kind: none}`, `webhook`, `slack` or `email`.
    """

    prometheus_port: Port | None = None
    alertmanager_port: Port | None = None
    pushgateway_port: Port | None = None
    scrape_seconds: Annotated[int, Field(ge=1, le=60)] = 15  # the rules look at five minutes
    retention_days: PositiveInt = 15
    retention_gib: PositiveInt = 5
    receiver: _config.Receiver = _config.NoReceiver()


class ProcessMonitoring(ComponentResource):
    """Prometheus and its company on this machine, for this machine only."""

    endpoint: MonitoringEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:monitoring:Process", inputs.name, None, opts)
        self._inputs, self._settings = inputs, settings
        self._folder = inputs.local.resource.folder
        self._home = inputs.local.path / inputs.name
        wanted = {
            "prometheus": settings.prometheus_port,
            "alertmanager": settings.alertmanager_port,
            "pushgateway": settings.pushgateway_port,
        }
        self._ports = Ports(
            f"{inputs.name}-ports",
            folder=self._folder,
            part=inputs.name,
            wanted=dict.fromkeys(USUAL_PORTS) | wanted,
            usual=USUAL_PORTS,
            opts=ResourceOptions(parent=self),
        )
        alertmanager = self._alertmanager()
        pushgateway = self._pushgateway()
        exporters = self._exporters()
        prometheus = self._prometheus([alertmanager, pushgateway, *exporters])
        self.endpoint = MonitoringEndpoint(
            self._url("prometheus", prometheus),
            self._url("alertmanager", alertmanager),
            self._url("pushgateway", pushgateway),
            after=("prometheus",),
        )
        self.register_outputs({"prometheus_url": self.endpoint.prometheus_url})

    def _address(self, name: str) -> Output[str]:
        return Output.format("127.0.0.1:{0}", self._ports.number(name))

    def _url(self, name: str, server: Process) -> Output[str]:
        return Output.all(self._address(name), server.name).apply(lambda known: f"http://{known[0]}")

    def _data(self, name: str) -> DataFolder:
        return DataFolder(
            f"{self._inputs.name}-{name}-data",
            folder=self._folder,
            path=f"{self._inputs.name}/{name}",
            opts=ResourceOptions(parent=self),
        )

    def _process(
        self,
        name: str,
        port: str,
        arguments: Sequence[Input[str]],
        *,
        ready: str = "/-/ready",
        files: Mapping[str, Input[str]] | None = None,
        env: Mapping[str, Input[str]] | None = None,
        after: Sequence[str] = (),
        depends_on: Sequence[Process] = (),
    ) -> Process:
        return Process(
            f"{self._inputs.name}-{name}",
            folder=self._folder,
            name=name.replace("_", "-"),
            part=self._inputs.name,
            command=[program(name), Output.concat("--web.listen-address=", self._address(port)), *arguments],
            files=files,
            env=env,
            ports=[self._ports.number(port)],
            ready={"kind": "http", "url": Output.format("http://{0}{1}", self._address(port), ready)},
            after=after,
            opts=ResourceOptions(parent=self, depends_on=list(depends_on)),
        )

    def _alertmanager(self) -> Process:
        file = f"{self._inputs.name}/alertmanager.yml"
        return self._process(
            "alertmanager",
            "alertmanager",
            [
                f"--config.file={self._inputs.local.path / file}",
                Output.concat("--storage.path=", self._data("alertmanager").absolute),
                "--cluster.listen-address=",  # alone, and on no other interface
            ],
            files={file: json.dumps(_config.alertmanager(self._settings.receiver), indent=1)},
        )

    def _pushgateway(self) -> Process:
        data = self._data("pushgateway")
        return self._process(
            "pushgateway", "pushgateway", [Output.concat("--persistence.file=", data.absolute, "/metrics")]
        )

    def _exporters(self) -> list[Process]:
        file = f"{self._inputs.name}/probe.yml"
        exporters = [
            self._process(
                "node_exporter",
                "node",
                # Debian's looks for systemd, and for text files in a folder that its package would have made.
                ["--no-collector.systemd", "--collector.textfile.directory="],
                ready="/",
            ),
            self._process(
                "blackbox_exporter",
                "probe",
                [f"--config.file={self._inputs.local.path / file}"],
                ready="/-/healthy",
                files={file: json.dumps(_config.prober(), indent=1)},
            ),
        ]
        return exporters + ([self._postgres_exporter()] if "registry_database" in self._inputs.contracts else [])

    def _postgres_exporter(self) -> Process:
        database = self._inputs.database
        access = database.databases["monitor"]
        return self._process(
            "postgres_exporter",
            "postgres",
            [],
            ready="/",
            env={
                "DATA_SOURCE_URI": Output.format(
                    "{0}:{1}/{2}?sslmode=disable", database.host, database.port, access.name
                ),
                "DATA_SOURCE_USER": access.user,
                "DATA_SOURCE_PASS_FILE": access.password.file,
            },
            after=database.after,
        )

    def _prometheus(self, others: Sequence[Process]) -> Process:
        file = f"{self._inputs.name}/prometheus.yml"
        own = {
            "prometheus": "prometheus",
            "alertmanager": "alertmanager",
            "pushgateway": "pushgateway",
            "node": "machine",
        }
        own |= {"postgres": "postgresql"} if "registry_database" in self._inputs.contracts else {}
        targets = [ScrapeTarget(job, self._address(port)) for port, job in own.items()]
        rules = {
            f"{self._inputs.name}/rules/{path.name}": path.read_text() for path in modelyard.monitoring.rule_files()
        }
        known = Output.all(
            targets=[_target(target) for target in (*self._inputs.scrape, *targets)],
            target_files=self._inputs.scrape_files,
            probes=self._inputs.probe,
            prober=self._address("probe"),
            alertmanager=self._address("alertmanager"),
        )
        document = partial(
            _config.prometheus,
            stack=self._inputs.stack,
            scrape_seconds=self._settings.scrape_seconds,
            rules=str(self._home / "rules" / "*.yaml"),
        )
        return self._process(
            "prometheus",
            "prometheus",
            [
                f"--config.file={self._inputs.local.path / file}",
                Output.concat("--storage.tsdb.path=", self._data("prometheus").absolute),
                f"--storage.tsdb.retention.time={self._settings.retention_days}d",
                f"--storage.tsdb.retention.size={self._settings.retention_gib}GB",
            ],
            files={file: known.apply(lambda values: json.dumps(document(**values), indent=1)), **rules},
            after=["alertmanager"],
            depends_on=others,
        )


def _target(target: ScrapeTarget) -> dict[str, Any]:
    login = {"username": target.username, "password_file": target.password.path} if target.password else {}
    return {"job": target.job, "address": target.address, "path": target.path} | login


def build(settings: Settings, inputs: PartInputs) -> MonitoringEndpoint:
    """Build the part."""
    return ProcessMonitoring(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
