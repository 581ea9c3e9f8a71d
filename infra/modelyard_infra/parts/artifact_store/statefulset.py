"""Artifact store as a StatefulSet: the S3 gateway versitygw on a volume, for small and throw-away platforms.

Creates: generated credentials, the server and its Service, a Job that makes a versioned bucket. There is no second copy
of the data: `external` is for what must not be lost.
"""

from typing import Annotated

from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field

from modelyard_infra.contracts import ArtifactLocation
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.artifact_store import _bucket_job
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.pods import Container, Memory, Pod, Resources

NEEDS = ("images", "cluster")
IMAGES = ("versitygw", "tracking-server", "agent")
VOLUMES = True
PART = _bucket_job.PART
PORT = 7070
REGION = "us-east-1"
DATA = "/data"
MAKE_FOLDERS = "import os, sys; [os.makedirs(folder, mode=0o700, exist_ok=True) for folder in sys.argv[1:]]"


class Settings(PartSettings):
    """Settings of a versitygw that runs as a StatefulSet.

    Attributes:
        storage: Of its volume, as Kubernetes writes it.
        resources: Of its pod.
        bucket: The bucket's name.
    """

    storage: Memory = "20Gi"
    resources: Resources = Resources(cpu="50m", memory="160Mi")
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")] = "mlflow"


def place(settings: Settings) -> dict[str, str]:
    """What says where the artifacts are."""
    return {"bucket": settings.bucket}


class StatefulSetStore(ComponentResource):
    """An S3 server in the platform's namespace, for its pods only."""

    location: ArtifactLocation

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:artifact_store:StatefulSet", inputs.name, None, inputs.was("External", opts=opts))
        objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        access, secret = (
            GeneratedPassword(f"{PART}-{key}", length=length, opts=ResourceOptions(parent=self)).value
            for key, length in (("access-key", 20), ("secret-key", 40))
        )
        keys = objects.secret(f"{PART}-keys", {"access-key": access, "secret-key": secret})
        probe = {"httpGet": {"path": "/health", "port": PORT}}
        container = Container(
            name="versitygw",
            image="versitygw",
            resources=settings.resources,
            arguments=[
                *("--port", f":{PORT}", "--region", REGION, "--health", "/health", "--quiet"),
                *("posix", "--dir-perms", "0700", "--versioning-dir", f"{DATA}/versions", f"{DATA}/objects"),
            ],
            secret_environment={"ROOT_ACCESS_KEY": keys["access-key"], "ROOT_SECRET_KEY": keys["secret-key"]},
            ports={"s3": PORT},
            mounts={"data": DATA},
            ready=probe,
            alive=probe,
        )
        folders = Container(
            name="folders",
            image="agent",
            resources=Resources(cpu="10m", memory="64Mi"),
            command=["/opt/modelyard/bin/python", "-c", MAKE_FOLDERS, f"{DATA}/objects", f"{DATA}/versions"],
            mounts={"data": DATA},
        )
        objects.reachable(PORT)
        service = objects.service(PART, {"s3": (PORT, PORT)})
        server = objects.stateful_set(
            PART,
            Pod(container, before=folders),
            volume="data",
            storage=settings.storage,
            rolled_by="",
            protect=inputs.protect,
        )
        url = f"http://{objects.host(PART)}:{PORT}"
        bucket = _bucket_job.job(
            objects,
            endpoint_url=url,
            region=REGION,
            bucket=settings.bucket,
            keys=keys,
            create=True,
            after=[server, service],
        )
        self.location = ArtifactLocation(
            Output.from_input(url),
            REGION,
            bucket,
            keys["access-key"],
            keys["secret-key"],
            direct=False,
            probe={PART: Output.from_input(f"{url}/health")},
        )
        self.register_outputs({"endpoint_url": url, "bucket": bucket})


def build(settings: Settings, inputs: PartInputs) -> ArtifactLocation:
    """Build the part."""
    return StatefulSetStore(settings, inputs, ResourceOptions(parent=inputs.parent)).location
