"""Registry database as a StatefulSet: one PostgreSQL on a volume, for small and throw-away platforms.

Creates: generated secrets, the server and its Service, a Job that makes a role and a database for each consumer.
There is no second copy of the data: `external` and `cloudnative_pg` are for what must not be lost.
"""

from typing import Annotated

from pulumi import ComponentResource, ResourceOptions
from pydantic import Field

from modelyard_infra.contracts import DatabaseEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.registry_database import _roles
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import Container, Memory, Pod, Resources

NEEDS = ("images", "cluster")
IMAGES = ("postgresql", "agent")
VOLUMES = True
PART = "registry-database"
PORT = 5432
RESERVED_CONNECTIONS = 5  # for the superuser


class Settings(PartSettings):
    """Settings of a PostgreSQL that runs as a StatefulSet.

    Attributes:
        storage: Of its volume, as Kubernetes writes it.
        resources: Of its pod.
        mlflow_connections: How many all tracking servers together may open; as many again for their users' database.
        modelyard_connections: How many `modelyard` and the serving agent may open together.
    """

    storage: Memory = "10Gi"
    resources: Resources = Resources(cpu="100m", memory="512Mi")
    mlflow_connections: Annotated[int, Field(ge=12, le=500)] = 80
    modelyard_connections: Annotated[int, Field(ge=5, le=500)] = 20


class StatefulSetDatabase(ComponentResource):
    """PostgreSQL in the platform's namespace, for its pods only."""

    endpoint: DatabaseEndpoint

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        before = inputs.was("External", "CloudNativePg", opts=opts)
        super().__init__("modelyard:registry_database:StatefulSet", inputs.name, None, before)
        objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        connections = _roles.limits(settings.mlflow_connections, settings.modelyard_connections)
        superuser = objects.secret(
            f"{PART}-postgres",  # CloudNativePG's operator makes one that is called -superuser
            {"password": GeneratedPassword(f"{PART}-superuser-password", opts=ResourceOptions(parent=self)).value},
        )["password"]
        owners = _roles.passwords(PART, objects, connections, self)
        most = sum(access.connections for access in owners.values()) + RESERVED_CONNECTIONS
        config = [
            f"max_connections={most}",
            f"superuser_reserved_connections={RESERVED_CONNECTIONS}",
            "password_encryption=scram-sha-256",
            "dynamic_shared_memory_type=mmap",  # /dev/shm of a pod is 64 MiB
        ]
        ready = {"exec": {"command": ["/opt/postgresql/bin/pg_isready", "-q", "-h", "127.0.0.1"]}}
        container = Container(
            name="postgresql",
            image="postgresql",
            resources=settings.resources,
            arguments=[word for setting in config for word in ("-c", setting)],
            environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/modelyard/superuser"},
            ports={"postgresql": PORT},
            mounts={"data": "/var/lib/postgresql/data"},
            ready=ready,
            alive=ready,
            startup_seconds=300,
        )
        pod = Pod(container, secrets={"superuser": superuser}, grace_seconds=60)
        objects.reachable(PORT)
        service = objects.service(PART, {"postgresql": (PORT, PORT)}, headless=True)
        server = objects.stateful_set(
            PART, pod, volume="data", storage=settings.storage, rolled_by="", protect=inputs.protect
        )
        host = objects.host(PART)
        job = _roles.job(
            PART,
            objects,
            owners,
            server={"host": host, "port": PORT, "user": "postgres", "sslmode": "disable"},
            superuser=superuser,
            certificate_authority=None,
            after=[server, service],
        )
        port = _roles.known_after(job, PORT)
        self.endpoint = DatabaseEndpoint(host, port, owners, sslmode="disable")
        self.register_outputs({"port": port})


def build(settings: Settings, inputs: PartInputs) -> DatabaseEndpoint:
    """Build the part."""
    return StatefulSetDatabase(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
