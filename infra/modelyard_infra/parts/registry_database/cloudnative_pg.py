"""Registry database by the operator CloudNativePG: three PostgreSQL, each with a copy of the data, and backups.

Creates: the operator's Cluster; with `backup` an ObjectStore and a ScheduledBackup of its Barman Cloud plugin;
generated secrets, and a Job that makes a role and a database for each consumer. The cluster has the operator already.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pulumi import ComponentResource, Output, Resource, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.contracts import DatabaseEndpoint
from modelyard_infra.field_types import ObjectName, SecretField, SecretName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._elsewhere import AuthoritySecret, secret
from modelyard_infra.parts.registry_database import _roles
from modelyard_infra.workloads.named import PART as PART_LABEL
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import Memory, Resources
from modelyard_infra.workloads.ways import ANYWHERE, pods_of, tcp

NEEDS = ("images", "cluster")
IMAGES = ("agent",)
VOLUMES = True
PART = "registry-database"
PORT, STATUS_PORT = 5432, 8000
CLUSTERS = "postgresql.cnpg.io/v1"
BACKUPS = "barmancloud.cnpg.io/v1"
PLUGIN = "barman-cloud.cloudnative-pg.io"
OWN_CONNECTIONS = 20  # of the operator, replicas, backups and superusers


class Backup(PartSettings):
    """Where copies go that outlive the cluster: all that is written, within minutes, and a base copy at times.

    Attributes:
        destination: `s3://<bucket>/<folder>`; of no other database.
        endpoint_url: Of the store; left out, AWS's own.
        region_field: Which field of the Secret has the bucket's region, where the store asks for it.
        secret: A Secret of the platform's namespace with the store's keys.
        access_key_field: Which of its fields has the access key.
        secret_key_field: Which has the secret key.
        certificate_authority: Who signed the store's certificate, if no public authority did.
        schedule: When a base copy is made: seconds, minutes, hours, day of the month, month, day of the week; UTC.
        keep_days: How far back one can go.
    """

    destination: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9._/-]+)?$")]
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")] | None = None
    region_field: SecretField | None = None
    secret: SecretName
    access_key_field: SecretField = "access-key"
    secret_key_field: SecretField = "secret-key"  # noqa: S105 - its name
    certificate_authority: AuthoritySecret | None = None
    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){5}$")] = "0 0 3 * * *"
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30


class Settings(PartSettings):
    """Settings of a PostgreSQL that CloudNativePG runs.

    Attributes:
        instances: How many; what is acknowledged is on two of them.
        storage: Of each one's volume, as Kubernetes writes it.
        resources: Of each.
        image: A PostgreSQL image of CloudNativePG's; left out, the operator's own choice.
        mlflow_connections: How many all tracking servers together may open; as many again for their users' database.
        modelyard_connections: How many `modelyard` and the serving agent may open together.
        operator_namespace: Where the operator runs, which NetworkPolicies have to let in.
        backup: Where copies go that outlive the cluster.
        without_backup: Have none: what is deleted, or lost with the cluster, is gone.
    """

    instances: Annotated[int, Field(ge=2, le=9)] = 3
    storage: Memory = "20Gi"
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    image: Annotated[str, Field(pattern=r"^[a-z0-9.:/_-]+:[A-Za-z0-9._-]+(@sha256:[0-9a-f]{64})?$")] | None = None
    mlflow_connections: Annotated[int, Field(ge=12, le=500)] = 80
    modelyard_connections: Annotated[int, Field(ge=5, le=500)] = 20
    operator_namespace: ObjectName = "cnpg-system"
    backup: Backup | None = None
    without_backup: bool = False

    model_config = PartSettings.model_config | {"validate_default": True}

    @field_validator("without_backup")
    @classmethod
    def _backed_up(cls, value: bool, info: ValidationInfo) -> bool:
        if "backup" in info.data and value == (info.data["backup"] is not None):
            raise ValueError("say where copies go (`backup`), or that there are to be none (`without_backup: true`)")
        return value


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    found = {
        CLUSTERS: "install CloudNativePG: https://cloudnative-pg.io/documentation/current/installation_upgrade/",
    }
    if settings.backup:
        found[BACKUPS] = (
            "install CloudNativePG's Barman Cloud plugin: "
            "https://cloudnative-pg.io/plugin-barman-cloud/docs/installation/ (or set without_backup: true)"
        )
    return found


class CloudNativePg(ComponentResource):
    """PostgreSQL in the platform's namespace, kept by the operator."""

    endpoint: DatabaseEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        before = inputs.was("StatefulSet", "External", opts=opts)
        super().__init__("modelyard:registry_database:CloudNativePg", inputs.name, None, before)
        self._settings, self._inputs = settings, inputs
        self._objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        connections = _roles.limits(settings.mlflow_connections, settings.modelyard_connections)
        owners = _roles.passwords(PART, self._objects, connections, self)
        self._open_ways()
        store = [self._store(settings.backup)] if settings.backup else []
        most = sum(access.connections for access in owners.values()) + OWN_CONNECTIONS
        cluster = self._cluster(most, after=store)
        if settings.backup:
            self._schedule(settings.backup, cluster)
        # The operator makes both Secrets; its certificates are for the names of its Services.
        superuser, authority = secret(f"{PART}-superuser", "password"), secret(f"{PART}-ca", "ca.crt")
        host = f"{PART}-rw.{inputs.cluster.namespace_name}.svc"
        job = _roles.job(
            PART,
            self._objects,
            owners,
            server={"host": host, "port": PORT, "user": "postgres", "sslmode": "verify-full"},
            superuser=superuser,
            certificate_authority=authority,
            after=[cluster],
        )
        port: Output[int] = _roles.known_after(job, PORT)
        self.endpoint = DatabaseEndpoint(host, port, owners, sslmode="verify-full", certificate_authority=authority)
        self.register_outputs({"port": port})

    def _cluster(self, connections: int, after: list[Resource]) -> Resource:
        settings, cluster = self._settings, self._inputs.cluster
        storage: dict[str, Any] = {"size": settings.storage}
        if cluster.storage_class:
            storage["storageClass"] = cluster.storage_class
        affinity: dict[str, Any] = {"enablePodAntiAffinity": True, "topologyKey": "kubernetes.io/hostname"}
        if cluster.node_selector:
            affinity["nodeSelector"] = dict(cluster.node_selector)
        if cluster.tolerations:
            affinity["tolerations"] = [dict(toleration) for toleration in cluster.tolerations]
        spec: dict[str, Any] = {
            "instances": settings.instances,
            "storage": storage,
            "resources": settings.resources.document(),
            "affinity": affinity,
            "enableSuperuserAccess": True,
            "inheritedMetadata": {"labels": {PART_LABEL: PART, "app.kubernetes.io/part-of": "modelyard"}},
            "postgresql": {
                "parameters": {"max_connections": str(connections), "password_encryption": "scram-sha-256"},
                "synchronous": {"method": "any", "number": 1, "dataDurability": "required"},
            },
        }
        if settings.image:
            spec["imageName"] = settings.image
        if secrets := self._inputs.images.pull_secrets:
            spec["imagePullSecrets"] = [{"name": name} for name in secrets]
        if settings.backup:
            spec["plugins"] = [
                {"name": PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": PART}},
            ]
        return self._objects.custom(
            CLUSTERS,
            "Cluster",
            PART,
            spec,
            metadata={"annotations": {"pulumi.com/waitFor": "condition=Ready", **self._objects.patience}},
            depends_on=after,
            protect=self._inputs.protect,
        )

    def _store(self, backup: Backup) -> Resource:
        keys: dict[str, Any] = {
            "accessKeyId": {"name": backup.secret, "key": backup.access_key_field},
            "secretAccessKey": {"name": backup.secret, "key": backup.secret_key_field},
        }
        if backup.region_field:
            keys["region"] = {"name": backup.secret, "key": backup.region_field}
        configuration: dict[str, Any] = {
            "destinationPath": backup.destination,
            "s3Credentials": keys,
            "wal": {"compression": "gzip"},
            "data": {"compression": "gzip"},
        }
        if backup.endpoint_url:
            configuration["endpointURL"] = backup.endpoint_url
        if authority := backup.certificate_authority:
            configuration["endpointCA"] = {"name": authority.name, "key": authority.field}
        spec = {"configuration": configuration, "retentionPolicy": f"{backup.keep_days}d"}
        return self._objects.custom(BACKUPS, "ObjectStore", PART, spec)

    def _schedule(self, backup: Backup, cluster: Resource) -> None:
        spec = {
            "schedule": backup.schedule,
            "cluster": {"name": PART},
            "method": "plugin",
            "pluginConfiguration": {"name": PLUGIN},
            "backupOwnerReference": "cluster",
            "immediate": True,
        }
        self._objects.custom(CLUSTERS, "ScheduledBackup", PART, spec, depends_on=[cluster])

    def _open_ways(self) -> None:
        """From users to PostgreSQL; from the operator to every instance; from these to others, API server and store."""
        self._objects.reachable(PORT)
        instances = {"cnpg.io/cluster": PART}  # also the pods that make a new instance's data
        operator = pods_of(self._settings.operator_namespace)
        each_other = {"podSelector": {"matchLabels": instances}}
        own = tcp(PORT, STATUS_PORT)
        out: list[dict[str, Any]] = [
            {"to": [each_other], "ports": own},
            {"ports": tcp(*self._inputs.cluster.api_ports)},
        ]
        if backup := self._settings.backup:
            url = urlsplit(backup.endpoint_url or "https://s3.amazonaws.com")
            port = url.port or {"http": 80, "https": 443}[url.scheme]
            out.append({"to": list(ANYWHERE), "ports": tcp(port)})
        into = [{"from": [operator, each_other], "ports": own}]
        self._objects.ways(f"of-{PART}-instances", instances, into=into, out=out)


def build(settings: Settings, inputs: PartInputs) -> DatabaseEndpoint:
    """Build the part."""
    return CloudNativePg(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
