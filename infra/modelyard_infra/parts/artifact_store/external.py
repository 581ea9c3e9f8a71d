"""Artifact store in a bucket behind an S3 API that is there already: AWS S3, MinIO, Ceph and others.

Creates: a Job that looks whether the bucket can be used and keeps older versions, or makes it. Pods are let out to the
store.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pulumi import ComponentResource, Output, ResourceOptions
from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.contracts import ArtifactLocation
from modelyard_infra.field_types import SecretField, SecretName
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._elsewhere import Authority, Place, authority, open_way, secret
from modelyard_infra.parts.artifact_store import _bucket_job
from modelyard_infra.workloads.objects import Objects

NEEDS = ("images", "cluster")
IMAGES = ("tracking-server",)
PART = _bucket_job.PART
URL = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$"


class Credentials(PartSettings):
    """Who the platform is to the store.

    Attributes:
        secret: A Secret of the platform's namespace.
        access_key_field: Which of its fields has the access key.
        secret_key_field: Which has the secret key.
    """

    secret: SecretName
    access_key_field: SecretField = "access-key"
    secret_key_field: SecretField = "secret-key"  # noqa: S105 - its name


class Settings(PartSettings):
    """Settings of a bucket elsewhere.

    Attributes:
        bucket: Its name.
        credentials: In which Secret the keys are.
        unencrypted: Talk without TLS, where `endpoint_url` begins with `http:`; artifacts can be read on the way.
        endpoint_url: Of the store; left out, AWS's own.
        certificate_authority: Who signed the store's certificate; left out, a public authority.
        region: Of the bucket; stores that know none take any.
        create_bucket: Make it if it isn't there, and turn its versioning on.
        direct: Whether the platform's clients reach the store, too; they then fetch artifacts there, not from MLflow.
        reached_at: Where it is, for NetworkPolicies; left out, at the address of `endpoint_url`, or anywhere.
    """

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    credentials: Credentials
    unencrypted: bool = False
    endpoint_url: Annotated[str, Field(pattern=URL)] | None = None
    certificate_authority: Authority | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] = "us-east-1"
    create_bucket: bool = False
    direct: bool = False
    reached_at: Place | None = None

    @field_validator("endpoint_url")
    @classmethod
    def _encrypted(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and value.startswith("http:") and info.data.get("unencrypted") is False:
            raise ValueError("artifacts would go over the network as they are: `unencrypted: true` allows it")
        return value.rstrip("/") if value else None


def place(settings: Settings) -> dict[str, str]:
    """What says where the artifacts are."""
    return {"bucket": settings.bucket}


class ExternalStore(ComponentResource):
    """Somebody else's S3, with a bucket for the platform."""

    location: ArtifactLocation

    def __init__(self, settings: Settings, inputs: PartInputs, opts: ResourceOptions | None = None) -> None:
        super().__init__("modelyard:artifact_store:External", inputs.name, None, inputs.was("StatefulSet", opts=opts))
        objects = Objects(PART, cluster=inputs.cluster, images=inputs.images, stack=inputs.stack, parent=self)
        url = urlsplit(settings.endpoint_url or "https://s3.amazonaws.com")
        open_way(objects, settings.reached_at, url.hostname or "", url.port or {"http": 80, "https": 443}[url.scheme])
        credentials = settings.credentials
        keys = {
            "access-key": secret(credentials.secret, credentials.access_key_field),
            "secret-key": secret(credentials.secret, credentials.secret_key_field),
        }
        trusted = authority(objects, f"{PART}-ca", settings.certificate_authority)
        bucket = _bucket_job.job(
            objects,
            endpoint_url=settings.endpoint_url,
            region=settings.region,
            bucket=settings.bucket,
            keys=keys,
            create=settings.create_bucket,
            after=[],
            check=True,
            certificate_authority=trusted,
        )
        endpoint_url: Output[str | None] = bucket.apply(lambda _: settings.endpoint_url)
        self.location = ArtifactLocation(
            endpoint_url,
            settings.region,
            bucket,
            keys["access-key"],
            keys["secret-key"],
            direct=settings.direct,
            certificate_authority=trusted,
        )
        self.register_outputs({"bucket": bucket})


def build(settings: Settings, inputs: PartInputs) -> ArtifactLocation:
    """Build the part."""
    return ExternalStore(settings, inputs, ResourceOptions(parent=inputs.parent)).location
