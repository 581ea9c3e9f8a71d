"""Serving cluster in a Kubernetes cluster: model servers as Deployments, reached by the edge's Gateway.

Creates: the serving agent with its rights, the NetworkPolicies of model servers, and how the Gateway treats requests to
models. What is deployed is not made here: it is data, in the `modelyard` database, and the agent has it served.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi import ComponentResource, Output, Resource, ResourceOptions

from modelyard.descriptor import Database, Descriptor, RegistryDatabase, ServingCluster, TrackingServer
from modelyard.serving.kubernetes import settings as agents
from modelyard.serving.kubernetes.fetch import FetchSettings
from modelyard.serving.settings import DatabaseSettings, TrackingSettings, numeric_environment
from modelyard_infra.contracts import EdgeEndpoint, MetricsPods, ScrapeTarget, SecretReference, ServingEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts.serving_cluster import _rights, _settings, _traffic
from modelyard_infra.parts.serving_cluster._payload_log import as_settings
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.named import PART as PART_LABEL
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import SECRETS, SETTINGS, Container, Pod
from modelyard_infra.workloads.ways import uses

NEEDS = ("images", "cluster", "edge", "registry_database", "artifact_store", "tracking_server")
IMAGES = ("agent", "model-server")
PART = "serving-cluster"
AGENT = "serving-agent"
MODELS = "/models"
SPOOL = "/spool"
PORTS = {agents.HTTP: 8080, agents.GRPC: 8081, agents.METRICS: 8082}
AGENT_PORT, ANSWERS_PORT = 9902, 9903
PYTHON = "/opt/modelyard/bin/python"


Settings = _settings.Settings
apis, misfits = _settings.apis, _settings.misfits


class KubernetesServing(ComponentResource):
    """Model serving in the platform's namespace."""

    endpoint: ServingEndpoint
    owner = f"{PART}-owner"  # another one's models go with it, when a stack turns to another kind
    server, fetch = "server", "fetch"  # containers
    workloads = _rights.DEPLOYMENTS

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:serving_cluster:Kubernetes", inputs.name, None, opts)
        assert inputs.edge is not None
        self._settings, self._inputs, self._edge = settings, inputs, inputs.edge
        self._objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        self._labels = self._objects.labels("model-server")
        owner = self._objects.config_map(self.owner, {"about": "what the serving agent makes goes with this"})
        fetching = self._objects.config_map("model-server", {"fetch.json": self._fetch_settings()})
        self._objects.reachable(AGENT_PORT, PORTS[agents.METRICS])
        self._objects.reachable_by_router(self._edge, PORTS[agents.HTTP], PORTS[agents.GRPC], ANSWERS_PORT)
        keys = self._api_keys()
        if self._edge.policies == "envoy_gateway":
            _traffic.envoy_gateway(self._objects, self._labels, max_request_mib=settings.max_request_mib)
            _traffic.guarded(self._objects, self._labels, keys=keys, issuer=settings.jwt)
        service = self._objects.service(
            AGENT, {"http": (AGENT_PORT, AGENT_PORT), "answers": (ANSWERS_PORT, ANSWERS_PORT)}
        )
        agent = self._agent(owner, fetching)
        host = self._objects.host(AGENT)
        agent_url = Output.all(service.urn, agent.urn).apply(lambda _: f"http://{host}:{AGENT_PORT}")
        self.endpoint = ServingEndpoint(
            agent.urn.apply(lambda _: self._edge.url(inputs.name)),
            agent_url,
            agent_url,
            scrape=(
                ScrapeTarget(
                    "serving-agent",
                    Output.from_input(f"{host}:{AGENT_PORT}"),
                    pods=self._objects.each(AGENT, AGENT_PORT),
                ),
            ),
            api_keys=keys,
            scrape_urls={"model-server": Output.from_input(f"http://{host}:{AGENT_PORT}/targets")},
            scrape_pods={"model-server": MetricsPods("model-server", PORTS[agents.METRICS])},
        )
        self.register_outputs({"url": self.endpoint.url})

    def _api_keys(self) -> dict[str, SecretReference]:
        """A generated key per client, in one Secret, as Envoy Gateway reads them."""
        clients = self._settings.api_keys
        if not clients:
            return {}
        opts = ResourceOptions(parent=self)
        keys = {one: GeneratedPassword(f"{PART}-api-key-{one}", length=40, opts=opts).value for one in clients}
        return self._objects.secret(f"{PART}-api-keys", keys)

    def _fetch_settings(self) -> Output[str]:
        return self._inputs.tracking.url.apply(
            lambda url: FetchSettings(
                tracking=self._tracking(url, f"{SECRETS}-before"), patience_seconds=self._settings.ready_seconds / 2
            ).model_dump_json(indent=1)
        )

    def _tracking(self, url: str, secrets: str) -> TrackingSettings:
        tracking = self._inputs.tracking
        file = Path(secrets, "reader") if tracking.reader_password else None
        return TrackingSettings(url=url, username=tracking.reader, password_file=file)

    # ---- model servers

    def _pod(self, fetching: Output[str], known: Mapping[str, Any]) -> dict[str, Any]:
        """The template of a model server's pod."""
        settings = self._settings
        drain = settings.drain_seconds or settings.request_timeout_seconds + 5
        leave = 5
        reader = self._inputs.tracking.reader_password
        server = Container(
            name=self.server,
            image="model-server",
            resources=settings.resources,
            arguments=self._arguments(drain, known),
            environment=numeric_environment(settings.threads),
            from_pod={"MODELYARD_POD_IP": "status.podIP"},
            ports=PORTS if settings.grpc else {key: port for key, port in PORTS.items() if key != agents.GRPC},
            mounts={"models": MODELS} | ({"spool": SPOOL} if settings.payload_log else {}),
            ready={"httpGet": {"path": "/v2/health/ready", "port": PORTS[agents.HTTP]}},
            alive={"httpGet": {"path": "/v2/health/live", "port": PORTS[agents.HTTP]}},
            startup_seconds=int(settings.ready_seconds),
            leave_seconds=leave,
        )
        fetch = Container(
            name=self.fetch,
            image="model-server",
            resources=settings.resources,
            command=[PYTHON, "-m", "modelyard.serving.kubernetes.fetch", f"{SETTINGS}/fetch.json"],
            mounts={"models": MODELS},
        )
        volumes: list[dict[str, Any]] = [{"name": "models", "emptyDir": {}}]
        if settings.payload_log:
            volumes.append({"name": "spool", "emptyDir": {"sizeLimit": f"{settings.payload_log.max_spool_mib + 64}Mi"}})
        keys = {"access-key": self._inputs.artifacts.access_key, "secret-key": self._inputs.artifacts.secret_key}
        if authority := self._inputs.artifacts.certificate_authority:
            keys["store-ca.crt"] = authority
        pod = Pod(
            server,
            before=fetch,
            before_secrets={"reader": reader} if reader else {},
            settings=fetching,
            secrets=keys if settings.payload_log else {},
            volumes=volumes,
            grace_seconds=int(drain) + leave + 10,
            spread=True,
        )
        labels = self._labels | {uses("tracking-server"): "true"}
        if settings.payload_log:
            labels |= {uses("artifact-store"): "true"}
        return {
            "metadata": {"labels": labels},
            "spec": pod.spec(self._inputs.cluster, self._inputs.images, {PART_LABEL: PART}),
        }

    def _arguments(self, drain: float, known: Mapping[str, Any]) -> list[str]:
        settings = self._settings
        arguments = ["--model", "$(MODELYARD_SERVED)", "--host", "$(MODELYARD_POD_IP)"]
        arguments += ["--port", str(PORTS[agents.HTTP]), "--management-port", str(PORTS[agents.METRICS])]
        if settings.grpc:
            arguments += ["--grpc-port", str(PORTS[agents.GRPC])]
        arguments += ["--proofs", f"{MODELS}/.proofs", "--max-request-mib", str(settings.max_request_mib)]
        arguments += ["--predict-seconds", f"{settings.request_timeout_seconds:g}", "--drain-seconds", f"{drain:g}"]
        recorded = as_settings(
            settings.payload_log,
            spool=Path(SPOOL),
            bucket=known["bucket"],
            endpoint_url=known["store_url"],
            region=self._inputs.artifacts.region,
            access_key_file=f"{SECRETS}/access-key",
            secret_key_file=f"{SECRETS}/secret-key",
            certificate_authority_file=(
                f"{SECRETS}/store-ca.crt" if self._inputs.artifacts.certificate_authority else None
            ),
        )
        return arguments + (["--payload-log", recorded] if recorded else [])

    # ---- the agent

    def _agent(self, owner: Output[str], fetching: Output[str]) -> Resource:
        inputs, edge = self._inputs, self._edge
        known = Output.all(
            owner=owner,
            database_port=inputs.database.port,
            gateway=edge.gateway,
            tracking_url=inputs.tracking.url,
            bucket=inputs.artifacts.bucket,
            store_url=inputs.artifacts.endpoint_url,
        )
        pod: Output[dict[str, Any]] = known.apply(lambda values: Output.from_input(self._pod(fetching, values)))
        models, runtime = self._run_by(pod)
        text = Output.all(known, models, runtime).apply(lambda values: self._agent_settings(*values))
        descriptor = known.apply(lambda values: self._descriptor(values, edge))
        config = self._objects.config_map(AGENT, {"settings.json": text, "descriptor.json": descriptor})
        account = self._objects.account(AGENT, _rights.rules(self.workloads, [self.owner]))
        self._objects.reaches_api(AGENT)
        container = Container(
            name="agent",
            image="agent",
            resources=self._settings.agent_resources,
            command=[PYTHON, "-m", "modelyard.serving.kubernetes.agent", f"{SETTINGS}/settings.json"],
            environment={"MODELYARD_DESCRIPTOR": f"{SETTINGS}/descriptor.json"},
            from_pod={"MODELYARD_POD_IP": "status.podIP", "HOSTNAME": "metadata.name"},
            ports={"http": AGENT_PORT, "answers": ANSWERS_PORT},
            ready={"httpGet": {"path": "/health", "port": AGENT_PORT}},
            alive={"httpGet": {"path": "/health", "port": AGENT_PORT}},
            leave_seconds=2,
        )
        secrets = {"database": inputs.database.databases["modelyard"].password}
        if authority := inputs.database.certificate_authority:
            secrets["database-ca.crt"] = authority
        if reader := inputs.tracking.reader_password:
            secrets["reader"] = reader
        pod_of_agent = Pod(
            container,
            settings=config,
            secrets=secrets,
            uses=("registry-database", "tracking-server"),
            account=account,
            spread=True,
        )
        count = self._settings.agents
        return self._objects.deployment(AGENT, pod_of_agent, replicas=(count, count), rolled_by=text)

    def _run_by(self, pod: Output[dict[str, Any]]) -> tuple[Output[dict[str, Any]], Output[str | None]]:
        """What the agent says of each version's pods, and the ServingRuntime that says the rest, if one does."""
        nobody: str | None = None
        return pod, Output.from_input(nobody)

    def _agent_settings(self, known: Mapping[str, Any], pod: dict[str, Any], runtime: str | None) -> str:
        settings = self._settings
        return agents.ControllerSettings(
            stack=self._inputs.stack,
            namespace=self._inputs.cluster.namespace_name,
            owner=known["owner"],
            labels=self._labels,
            port=AGENT_PORT,
            answers_port=ANSWERS_PORT,
            service=AGENT,
            database=self._database(int(known["database_port"])),
            gateway=agents.GatewaySettings(
                name=known["gateway"],
                namespace=self._edge.gateway_namespace,
                listener=self._edge.listener,
                host=self._edge.hosts[self._inputs.name],
                request_timeout_seconds=settings.request_timeout_seconds,
            ),
            pod=pod,
            runtime=runtime,
            ports=PORTS,
            grpc=settings.grpc,
            models={name: model.for_agent() for name, model in settings.models.items()},
            scaling=agents.ScalingSettings(
                most_replicas=settings.most_replicas,
                busy_percent=settings.busy_percent,
                requests_in_flight=settings.requests_in_flight,
            ),
            allow_pickle=settings.allow_pickle,
            ready_seconds=settings.ready_seconds,
        ).model_dump_json(indent=1, exclude_none=True)

    def _database(self, port: int) -> DatabaseSettings:
        endpoint = self._inputs.database
        access = endpoint.databases["modelyard"]
        return DatabaseSettings(
            host=endpoint.host,
            port=port,
            name=access.name,
            user=access.user,
            password_file=Path(SECRETS, "database"),
            sslmode=endpoint.sslmode,
            sslrootcert=Path(SECRETS, "database-ca.crt") if endpoint.certificate_authority else None,
        )

    def _descriptor(self, known: Mapping[str, Any], edge: EdgeEndpoint) -> str:
        """The platform as the `modelyard` command sees it in the agent's pod."""
        database = self._database(int(known["database_port"]))
        tracking = self._tracking(known["tracking_url"], SECRETS)
        access = Database(name=database.name, user=database.user, password_file=database.password_file)
        agent = f"http://{self._objects.host(AGENT)}:{AGENT_PORT}"
        return Descriptor(
            stack=self._inputs.stack,
            protect=self._inputs.protect,
            folder=Path("/tmp"),  # noqa: S108 - the pod's own
            registry_database=RegistryDatabase(
                kind="",
                host=database.host,
                port=database.port,
                sslmode=database.sslmode,
                sslrootcert=database.sslrootcert,
                databases={"modelyard": access},
            ),
            tracking_server=TrackingServer(
                kind="", url=tracking.url, username=tracking.username, password_file=tracking.password_file
            ),
            serving_cluster=ServingCluster(
                kind="kubernetes", url=edge.url(self._inputs.name), admin_url=agent, agent_url=agent
            ),
        ).model_dump_json(indent=1, exclude_none=True)


def build(settings: Settings, inputs: PartInputs) -> ServingEndpoint:
    """Build the part."""
    return KubernetesServing(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
