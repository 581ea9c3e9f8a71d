"""Tracking server in a cluster: MLflow as a Deployment, artifacts proxied, everybody logs in.

Creates: generated session key and admin secret, a Job that brings the schemas to the image's version, the Deployment
and its Service.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pulumi import ComponentResource, Output, Resource, ResourceOptions
from pydantic import Field

from modelyard.descriptor import Descriptor, TrackingServer
from modelyard.tracking.settings import (
    CONNECTIONS,
    ArtifactSettings,
    DatabaseSettings,
    IssuerSettings,
    TrackingServerSettings,
)
from modelyard.tracking.users import READER
from modelyard_infra.contracts import DatabaseAccess, EdgeEndpoint, ScrapeTarget, SecretReference, TrackingEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._tokens import UsersOf
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import SECRETS, SETTINGS, Container, Pod, Resources

NEEDS = ("images", "cluster", "registry_database", "artifact_store")
IMAGES = ("tracking-server",)
PART = "tracking-server"
USES = ("registry-database", "artifact-store")
ADMIN = "admin"
PORT = 5000
JWKS = "jwks.json"
METRICS = "metrics.k8s.io/v1beta1"
LAUNCH = ("/opt/modelyard/bin/python", "-m", "modelyard.tracking.launch")
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:\d+)?$")]


class Settings(PartSettings):
    """Settings of an MLflow server in a cluster.

    Attributes:
        replicas: How many at least; with more than one, a node may go without anybody noticing.
        most_replicas: How many at most, while their processors are busy.
        resources: Of each.
        jwt: Whose tokens are a login besides passwords.
        deleted_kept_days: How long deleted runs and experiments can be restored; null: for ever.
        allowed_hosts: `Host` headers to accept besides the Service's names and the loopback ones of a port-forward.
        cors_allowed_origins: Web pages of which origins may call the server.
    """

    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    most_replicas: Annotated[int, Field(ge=1, le=50)] = 4
    resources: Resources = Resources(cpu="150m", memory="512Mi")
    jwt: UsersOf | None = None
    deleted_kept_days: Annotated[int, Field(ge=1, le=3650)] | None = 30
    allowed_hosts: tuple[Host, ...] = ()
    cors_allowed_origins: tuple[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:-]+$")], ...] = ()


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    if settings.most_replicas <= settings.replicas:
        return {}
    return {
        METRICS: "install metrics-server: https://github.com/kubernetes-sigs/metrics-server (or set most_replicas of "
        "tracking_server to its replicas: they then don't follow the load)"
    }


def misfits(settings: Settings, others: Mapping[str, PartSettings]) -> Iterator[tuple[str, str, str]]:
    """What doesn't go with other parts' settings."""
    oidc = getattr(others.get("edge"), "oidc", None)
    if oidc is not None and (settings.jwt is None or settings.jwt.issuer != oidc.issuer):
        takes = f"those of {settings.jwt.issuer}" if settings.jwt else "nobody's tokens"
        yield (
            "jwt",
            f"edge.oidc has people sign in at {oidc.issuer}, and the tracking server takes {takes}",
            f"set tracking_server.jwt.issuer to {oidc.issuer}: docs/users.md",
        )
    processes = _processes(settings)
    for key, connections in _connections(others["registry_database"]).items():
        if connections < processes * CONNECTIONS:
            yield (
                "most_replicas",
                f"{processes} servers (one more than there may be, while they are replaced) open up to "
                f"{processes * CONNECTIONS} connections, and registry_database.{key} is {connections}",
                f"set that to {processes * CONNECTIONS} or more, or have fewer replicas",
            )


def _connections(database: PartSettings) -> dict[str, int]:
    """How many connections all servers may open, by the setting that says so."""
    given = getattr(database, "databases", None)
    if given is None:
        return {"mlflow_connections": database.mlflow_connections}  # type: ignore[attr-defined]
    return {f"databases.{name}.connections": getattr(given, name).connections for name in ("mlflow", "mlflow_auth")}


def _processes(settings: Settings) -> int:
    """How many there are at most, one more while they are replaced."""
    return max(settings.replicas, settings.most_replicas) + 1


class KubernetesServer(ComponentResource):
    """MLflow in the platform's namespace."""

    endpoint: TrackingEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:tracking_server:Kubernetes", inputs.name, None, opts)
        self._settings, self._inputs = settings, inputs
        self._objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        jwt = settings.jwt
        keys = {JWKS: Path(jwt.jwks_file).read_text()} if jwt and jwt.jwks_file else {}
        if jwt and jwt.jwks_url:
            self._objects.reaches_outside(PART, urlsplit(jwt.jwks_url).port or 443)
        admin = self._generated("admin", {"username": ADMIN})
        text = self._text()
        config = self._objects.config_map(PART, {"settings.json": text, "descriptor.json": self._descriptor(), **keys})
        reader = self._generated("reader", {"username": READER})
        secrets = self._secrets(admin, self._generated("session-key", {}))
        migration = self._migration(config, secrets | {"reader": reader})
        if settings.deleted_kept_days:
            self._collection(config, secrets)
        self._objects.reachable(PORT)
        service = self._objects.service(PART, {"http": (80, PORT)})
        server = self._server(config, secrets, text, after=[migration])
        host = self._objects.host(PART)
        if edge := inputs.edge:
            self._routes(edge)
            self._objects.reachable_by_router(edge, PORT)
        url = Output.all(host, service.urn, server.urn).apply(lambda known: f"http://{known[0]}")
        pods = self._objects.each(PART, PORT)
        target = ScrapeTarget("mlflow", Output.from_input(f"{host}:80"), username=READER, password=reader, pods=pods)
        self.endpoint = TrackingEndpoint(url, ADMIN, admin, READER, reader, scrape=(target,))
        self.register_outputs({"url": url})

    def _routes(self, edge: EdgeEndpoint) -> None:
        """Browsers are sent to sign in where that is set; what comes with a login of its own is led to the server."""
        route = self._objects.route(edge, self._inputs.name, PART, 80)
        if edge.sign_in is None:
            return
        target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}
        spec = {"targetRefs": [target], "oidc": dict(edge.sign_in)}
        self._objects.custom("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy", PART, spec)
        login = {"type": "RegularExpression", "name": "authorization", "value": "(?i)(basic|bearer) .+"}
        self._objects.route(edge, self._inputs.name, PART, 80, name=f"{PART}-programs", match={"headers": [login]})

    def _generated(self, what: str, beside: dict[str, str]) -> SecretReference:
        value = GeneratedPassword(f"{PART}-{what}-password", opts=ResourceOptions(parent=self)).value
        return self._objects.secret(f"{PART}-{what}", {**beside, "password": value})["password"]

    def _secrets(self, admin: SecretReference, session_key: SecretReference) -> dict[str, SecretReference]:
        database, artifacts = self._inputs.database, self._inputs.artifacts
        secrets = {
            "database": database.databases["mlflow"].password,
            "users-database": database.databases["mlflow_auth"].password,
            "access-key": artifacts.access_key,
            "secret-key": artifacts.secret_key,
            "admin": admin,
            "session-key": session_key,
        }
        authorities = {
            "database-ca.crt": database.certificate_authority,
            "store-ca.crt": artifacts.certificate_authority,
        }
        return secrets | {file: reference for file, reference in authorities.items() if reference}

    def _text(self) -> Output[str]:
        """The settings file, once everything it tells of is there."""
        artifacts, database = self._inputs.artifacts, self._inputs.database
        known = Output.all(port=database.port, endpoint_url=artifacts.endpoint_url, bucket=artifacts.bucket)
        return known.apply(lambda values: self._document(values).model_dump_json(indent=1) + "\n")

    def _document(self, known: dict[str, Any]) -> TrackingServerSettings:
        name, databases = self._objects.host(PART), self._inputs.database.databases
        inside = (PART, name.partition(".svc.")[0], name.partition(".svc.")[0] + ".svc", name)
        edge = self._inputs.edge
        outside = (edge.hosts[self._inputs.name],) if edge else ()
        own_pages = (edge.url(self._inputs.name),) if edge else ()  # browsers name it as the origin of what they change
        each = f"*.{self._objects.host(f'{PART}-pods')}:{PORT}"  # monitoring asks every replica
        forwarded = ("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*")
        return TrackingServerSettings(
            port=PORT,
            database=self._database(databases["mlflow"], "database", int(known["port"])),
            users_database=self._database(databases["mlflow_auth"], "users-database", int(known["port"])),
            artifacts=ArtifactSettings(
                endpoint_url=known["endpoint_url"],
                region=self._inputs.artifacts.region,
                bucket=known["bucket"],
                access_key_file=_file("access-key"),
                secret_key_file=_file("secret-key"),
                direct=self._inputs.artifacts.direct,
                certificate_authority_file=(
                    _file("store-ca.crt") if self._inputs.artifacts.certificate_authority else None
                ),
            ),
            admin=ADMIN,
            admin_password_file=_file("admin"),
            reader=READER,
            reader_password_file=_file("reader"),
            session_key_file=_file("session-key"),
            issuer=self._issuer(),
            allowed_hosts=(*inside, each, *forwarded, *outside, *self._settings.allowed_hosts),
            cors_allowed_origins=(*own_pages, *self._settings.cors_allowed_origins),
            url=f"http://{name}",
            deleted_kept_days=self._settings.deleted_kept_days,
        )

    def _issuer(self) -> IssuerSettings | None:
        jwt = self._settings.jwt
        if jwt is None:
            return None
        mounted = {"jwks_file": Path(SETTINGS, JWKS) if jwt.jwks_file else None}
        return IssuerSettings.model_validate(jwt.model_dump() | mounted)

    def _descriptor(self) -> str:
        """The platform as `modelyard users` sees it in one of the server's pods."""
        tracking = TrackingServer(
            kind="kubernetes", url=f"http://127.0.0.1:{PORT}", username=ADMIN, password_file=_file("admin")
        )
        inputs = self._inputs
        return Descriptor(
            stack=inputs.stack,
            protect=inputs.protect,
            folder=Path("/tmp"),  # noqa: S108 - the pod's own
            tracking_server=tracking,
        ).model_dump_json(indent=1, exclude_none=True)

    def _database(self, access: DatabaseAccess, secret: str, port: int) -> DatabaseSettings:
        endpoint = self._inputs.database
        return DatabaseSettings(
            host=endpoint.host,
            port=port,
            name=access.name,
            user=access.user,
            password_file=_file(secret),
            sslmode=endpoint.sslmode,
            sslrootcert=_file("database-ca.crt") if endpoint.certificate_authority else None,
            connections=access.connections // _processes(self._settings),
        )

    def _migration(self, config: Output[str], secrets: dict[str, SecretReference]) -> Resource:
        """Runs once per image and database, since only another MLflow has another schema.

        It takes as long as it takes: stopped half-way it could leave a schema that no MLflow knows.
        """
        container = Container(
            name="migration",
            image="tracking-server",
            resources=Resources(cpu="100m", memory="768Mi"),
            command=[*LAUNCH, "migrate", f"{SETTINGS}/settings.json"],
        )
        pod = Pod(container, settings=config, secrets=secrets, uses=USES, restart="OnFailure")
        database = self._inputs.database
        names = [database.databases[role].name for role in ("mlflow", "mlflow_auth")]
        return self._objects.job(f"{PART}-schema", pod, key=" ".join([READER, database.host, *names]), seconds=None)

    def _collection(self, config: Output[str], secrets: dict[str, SecretReference]) -> None:
        """Deletes at night what was deleted a while ago."""
        container = Container(
            name="collection",
            image="tracking-server",
            resources=Resources(cpu="50m", memory="768Mi"),
            command=[*LAUNCH, "collect", f"{SETTINGS}/settings.json"],
        )
        uses = ("registry-database", PART)
        pod = Pod(container, settings=config, secrets=secrets, uses=uses, restart="Never")
        self._objects.cron_job(f"{PART}-collection", pod, schedule="23 3 * * *")

    def _server(
        self, config: Output[str], secrets: dict[str, SecretReference], text: Output[str], after: list[Resource]
    ) -> Resource:
        probe = {"httpGet": {"path": "/health", "port": PORT}}
        container = Container(
            name="mlflow",
            image="tracking-server",
            resources=self._settings.resources,
            command=[*LAUNCH, "serve", f"{SETTINGS}/settings.json"],
            environment={"MODELYARD_DESCRIPTOR": f"{SETTINGS}/descriptor.json"},
            ports={"http": PORT},
            ready=probe,
            alive=probe,
            startup_seconds=180,
            leave_seconds=5,
        )
        pod = Pod(container, settings=config, secrets=secrets, uses=USES, spread=True, memory_mib=128, grace_seconds=40)
        least, most = self._settings.replicas, max(self._settings.replicas, self._settings.most_replicas)
        return self._objects.deployment(PART, pod, replicas=(least, most), rolled_by=text, after=after)


def _file(secret: str) -> Path:
    return Path(SECRETS, secret)


def build(settings: Settings, inputs: PartInputs) -> TrackingEndpoint:
    """Build the part."""
    return KubernetesServer(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
