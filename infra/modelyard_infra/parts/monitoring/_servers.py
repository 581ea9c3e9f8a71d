"""The servers of monitoring in a cluster, each with a part label of its own, so that each opens its own way only.

Names of their Services are short and stay: `prometheus`, `alertmanager`, `pushgateway`.
"""

from collections.abc import Mapping
from pathlib import Path

from pulumi import ComponentResource, Input, Output, Resource

from modelyard_infra.contracts import DatabaseAccess, MetricsPods, ScrapeTarget, SecretReference
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts.monitoring import _cluster_receiver, _config
from modelyard_infra.workloads.objects import Objects, as_json
from modelyard_infra.workloads.pods import SECRETS, SETTINGS, Container, Pod, Resources

IMAGE = "prometheus"
PROMETHEUS, ALERTMANAGER, PUSHGATEWAY = "prometheus", "alertmanager", "pushgateway"
PROBER, DATABASE_EXPORTER, POD_METRICS = "prober", "postgres-exporter", "pod-metrics"
PART = {PROMETHEUS: "monitoring"}
PORTS = {
    PROMETHEUS: 9090,
    ALERTMANAGER: 9093,
    PUSHGATEWAY: 9091,
    PROBER: 9115,
    DATABASE_EXPORTER: 9187,
    POD_METRICS: 8080,
}
JOBS = {DATABASE_EXPORTER: "postgresql", POD_METRICS: "pods"}
DATA = "/data"
SMALL = Resources(cpu="10m", memory="48Mi")
FOR_PODS = Resources(cpu="10m", memory="64Mi")
# No CronJobs: their Jobs tell enough, and a time zone that the image doesn't know ends kube-state-metrics.
WATCHED = ("pods", "persistentvolumeclaims"), ("deployments", "statefulsets"), ("jobs",)


class Servers:
    """Makes them.

    Args:
        inputs: The monitoring part's.
        parent: Its component.
    """

    def __init__(self, inputs: PartInputs, parent: ComponentResource) -> None:
        self._inputs, self._parent = inputs, parent
        self.made: list[str] = []

    def objects(self, name: str) -> Objects:
        """Those of one server."""
        inputs = self._inputs
        part = PART.get(name, name)
        return Objects(part, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self._parent)

    def address(self, name: str) -> str:
        """Where pods reach a server: `host:port`."""
        return f"{self.objects(name).host(name)}:{PORTS[name]}"

    def targets(self) -> list[ScrapeTarget]:
        """Their own metrics."""
        return [
            ScrapeTarget(
                JOBS.get(name, name), Output.from_input(self.address(name)), pods=MetricsPods(name, PORTS[name])
            )
            for name in self.made
            if name != PROBER  # of itself it has nothing that anybody needs
        ]

    def prometheus(
        self,
        files: Mapping[str, Input[str]],
        text: Output[str],
        *,
        resources: Resources,
        storage: str,
        keep: list[str],
        uses: list[str],
        secrets: Mapping[str, SecretReference],
    ) -> Resource:
        """Prometheus on a volume.

        Args:
            files: Its configuration and rules, by name.
            text: All of them, as one.
            keep: Arguments that say how long and how much.
            uses: Whose metrics it reads.
            secrets: Passwords for these.
        """
        arguments = [f"--config.file={SETTINGS}/prometheus.yml", f"--storage.tsdb.path={DATA}/prometheus", *keep]
        container = Container(
            name=PROMETHEUS,
            image=IMAGE,
            resources=resources,
            command=["/usr/bin/prometheus"],
            arguments=[*arguments, f"--web.listen-address=:{PORTS[PROMETHEUS]}"],
            ports={"http": PORTS[PROMETHEUS]},
            mounts={"data": DATA},
            ready=_get(PROMETHEUS, "/-/ready"),
            alive=_get(PROMETHEUS, "/-/healthy"),
            startup_seconds=300,  # after a crash it reads what it had written last
        )
        config = self.objects(PROMETHEUS).config_map(PROMETHEUS, files)
        pod = Pod(container, settings=config, secrets=secrets, uses=uses, grace_seconds=120)
        return self._on_a_volume(PROMETHEUS, pod, storage=storage, rolled_by=text)

    def alertmanager(self, receiver: _cluster_receiver.Receiver, resources: Resources, storage: str) -> Resource:
        """Alertmanager on a volume: silences are people's work, and what it forgot to have sent it sends again."""
        objects = self.objects(ALERTMANAGER)
        text = as_json(_config.alertmanager(_cluster_receiver.as_mounted(receiver)))
        secrets = self._receivers_secret(objects, receiver)
        if (port := _cluster_receiver.port(receiver)) is not None:
            objects.reaches_outside(ALERTMANAGER, port)
        container = self._container(
            ALERTMANAGER,
            resources,
            f"--config.file={SETTINGS}/alertmanager.yml",
            f"--storage.path={DATA}/alertmanager",
            "--cluster.listen-address=",  # alone
            ready="/-/ready",
            mounts={"data": DATA},
        )
        config = objects.config_map(ALERTMANAGER, {"alertmanager.yml": text})
        pod = Pod(container, settings=config, secrets=secrets)
        return self._on_a_volume(ALERTMANAGER, pod, storage=storage, rolled_by=text)

    def _receivers_secret(self, objects: Objects, receiver: _cluster_receiver.Receiver) -> dict[str, SecretReference]:
        """What is mounted; Alertmanager reads it anew each time, so another value needs no other pod."""
        if file := _cluster_receiver.secret_file(receiver):
            value = Path(file).read_text().strip()
            made = objects.secret(f"{ALERTMANAGER}-receiver", {"value": Output.secret(value)})
            return {_cluster_receiver.FILE: made["value"]}
        if known := _cluster_receiver.secret_key(receiver):
            return {_cluster_receiver.FILE: SecretReference(Output.from_input(known.name), key=known.key)}
        return {}

    def pushgateway(self, resources: Resources, storage: str) -> Resource:
        """The Pushgateway on a volume: what a job pushed is nowhere else."""
        container = self._container(
            PUSHGATEWAY, resources, f"--persistence.file={DATA}/metrics", ready="/-/ready", mounts={"data": DATA}
        )
        return self._on_a_volume(PUSHGATEWAY, Pod(container), storage=storage, rolled_by="")

    def prober(self, uses: list[str]) -> Resource:
        """The blackbox exporter, which asks parts that have no metrics whether they are well."""
        text = as_json(_config.prober())
        container = self._container(
            "blackbox_exporter", SMALL, f"--config.file={SETTINGS}/probe.yml", name=PROBER, ready="/-/healthy"
        )
        config = self.objects(PROBER).config_map(PROBER, {"probe.yml": text})
        return self._deployed(PROBER, Pod(container, settings=config, uses=uses), text)

    def database_exporter(self) -> Resource:
        """The PostgreSQL exporter, with the rights of the role `monitor`."""
        database = self._inputs.database
        access: DatabaseAccess = database.databases["monitor"]
        secrets = {"password": access.password}
        query = f"sslmode={database.sslmode}"
        if authority := database.certificate_authority:
            secrets["ca.crt"] = authority
            query += f"&sslrootcert={SECRETS}/ca.crt"
        uri = Output.format("{0}:{1}/{2}?{3}", database.host, database.port, access.name, query)
        container = self._container(
            "postgres_exporter",
            SMALL,
            name=DATABASE_EXPORTER,
            ready="/",
            environment={
                "DATA_SOURCE_URI": uri,
                "DATA_SOURCE_USER": access.user,
                "DATA_SOURCE_PASS_FILE": f"{SECRETS}/password",
            },
        )
        return self._deployed(DATABASE_EXPORTER, Pod(container, secrets=secrets, uses=["registry-database"]), uri)

    def pod_metrics(self) -> Resource:
        """kube-state-metrics for this namespace alone, so that it needs no rights in others."""
        objects = self.objects(POD_METRICS)
        watch = ["list", "watch"]
        rules = [
            {"apiGroups": [group], "resources": list(resources), "verbs": watch}
            for group, resources in zip(("", "apps", "batch"), WATCHED, strict=True)
        ]
        account = objects.account(POD_METRICS, rules)
        objects.reaches_api(POD_METRICS)
        port = PORTS[POD_METRICS]
        container = Container(
            name=POD_METRICS,
            image=IMAGE,
            resources=FOR_PODS,
            command=["/usr/bin/kube-state-metrics"],
            arguments=[
                f"--namespaces={self._inputs.cluster.namespace_name}",
                f"--resources={','.join(kind for kinds in WATCHED for kind in kinds)}",
                *(f"--port={port}", f"--telemetry-port={port + 1}"),
            ],
            ports={"http": port},
            ready={"httpGet": {"path": "/healthz", "port": port}},
            alive={"httpGet": {"path": "/healthz", "port": port}},
        )
        return self._deployed(POD_METRICS, Pod(container, account=account), "")

    def _container(
        self,
        program: str,
        resources: Resources,
        *arguments: Input[str],
        ready: str,
        name: str | None = None,
        mounts: Mapping[str, str] | None = None,
        environment: Mapping[str, Input[str]] | None = None,
    ) -> Container:
        name = name or program
        return Container(
            name=name,
            image=IMAGE,
            resources=resources,
            command=[f"/usr/bin/{program}"],
            arguments=[*arguments, f"--web.listen-address=:{PORTS[name]}"],
            environment=environment or {},
            ports={"http": PORTS[name]},
            mounts=mounts or {},
            ready=_get(name, ready),
            alive=_get(name, ready),
        )

    def _on_a_volume(self, name: str, pod: Pod, *, storage: str, rolled_by: Input[str]) -> Resource:
        self._open(name)
        protect = self._inputs.protect and name == PROMETHEUS
        return self.objects(name).stateful_set(
            name, pod, volume="data", storage=storage, rolled_by=rolled_by, protect=protect
        )

    def _deployed(self, name: str, pod: Pod, rolled_by: Input[str]) -> Resource:
        self._open(name)
        return self.objects(name).deployment(name, pod, replicas=(1, 1), rolled_by=rolled_by)

    def _open(self, name: str) -> None:
        self.made.append(name)
        objects = self.objects(name)
        objects.reachable(PORTS[name])
        objects.service(name, {"http": (PORTS[name], PORTS[name])})


def _get(name: str, path: str) -> dict[str, dict[str, str | int]]:
    return {"httpGet": {"path": path, "port": PORTS[name]}}
