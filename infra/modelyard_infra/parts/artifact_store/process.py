"""Artifact store as a process: the S3 gateway versitygw on a folder.

Creates: data folders for objects and their older versions, generated credentials, the server, a versioned bucket.
"""

from typing import Annotated

from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field

from modelyard_infra.contracts import ArtifactLocation
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.programs import program
from modelyard_infra.resources.bucket import Bucket
from modelyard_infra.resources.data_folder import DataFolder
from modelyard_infra.resources.generated_secret import GeneratedSecret
from modelyard_infra.resources.ports import Ports
from modelyard_infra.resources.process import Process

NEEDS: tuple[str, ...] = ()
REGION = "us-east-1"


class Settings(PartSettings):
    """Settings of a versitygw that runs as a process.

    Attributes:
        port: On loopback; left out, 7070 or a free one.
        bucket: The bucket's name.
    """

    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")] = "mlflow"


class ProcessStore(ComponentResource):
    """An S3 server on this machine, for this machine only."""

    location: ArtifactLocation

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:artifact_store:Process", inputs.name, None, opts)
        name, folder, child = inputs.name, inputs.local.resource.folder, ResourceOptions(parent=self)
        port = Ports(
            f"{name}-ports", folder=folder, part=name, wanted={"s3": settings.port}, usual={"s3": 7070}, opts=child
        ).number("s3")
        access_key, secret_key = (
            GeneratedSecret(f"{name}-{key}", folder=folder, name=f"{name}-{key}", length=length, opts=child)
            for key, length in (("access-key", 20), ("secret-key", 40))
        )
        kept = ResourceOptions(parent=self, protect=inputs.protect)
        objects, versions = (
            DataFolder(f"{name}-{what}", folder=folder, path=f"{name}/{what}", opts=kept)
            for what in ("objects", "versions")
        )
        address = Output.format("127.0.0.1:{0}", port)
        server = Process(
            f"{name}-versitygw",
            folder=folder,
            name="versitygw",
            part=name,
            command=[
                program("versitygw"),
                *("--port", address, "--region", REGION, "--health", "/health", "--quiet"),
                *("posix", "--dir-perms", "0700", "--versioning-dir", versions.absolute, objects.absolute),
            ],
            secret_env={"ROOT_ACCESS_KEY": access_key.name, "ROOT_SECRET_KEY": secret_key.name},
            ports=[port],
            ready={"kind": "http", "url": Output.format("http://{0}/health", address)},
            opts=child,
        )
        bucket = Bucket(
            f"{name}-bucket",
            folder=folder,
            name=settings.bucket,
            objects=f"{inputs.local.path}/{name}/objects",
            endpoint_url=Output.format("http://{0}", address),
            region=REGION,
            access_key=access_key.name,
            secret_key=secret_key.name,
            opts=ResourceOptions(parent=self, depends_on=[server]),
        )
        self.location = ArtifactLocation(
            Output.format("http://{0}", address),
            REGION,
            bucket.ready,
            access_key.reference,
            secret_key.reference,
            after=("versitygw",),
            probe={"artifact-store": Output.format("http://{0}/health", address)},
        )
        self.register_outputs({"endpoint_url": self.location.endpoint_url, "bucket": bucket.ready})


def build(settings: Settings, inputs: PartInputs) -> ArtifactLocation:
    """Build the part."""
    return ProcessStore(settings, inputs, ResourceOptions(parent=inputs.parent)).location
