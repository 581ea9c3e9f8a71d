"""A versioned bucket in an S3 store that runs as a process."""

from pathlib import Path
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from modelyard.errors import ModelyardError
from modelyard.processes.files import SecretFiles
from modelyard.provisioning import bucket
from modelyard_infra.resources.local import Inputs, LocalProvider


class BucketProvider(LocalProvider):
    """Makes the bucket and turns versioning on; its content goes with the store's data folder."""

    replaced_by = ("folder", "name")
    outputs = ("ready",)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        before = _olds.get("name")
        if before in (None, news["name"]):
            return CheckResult(news, [])
        reason = f"the bucket can't be renamed from {before!r} to {news['name']!r}: every artifact would be left behind"
        return CheckResult(news, [CheckFailure("name", f"{reason}. Put `bucket: {before}` back")])

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#bucket:{inputs['name']}"

    def make(self, inputs: Inputs) -> Inputs:
        from botocore.exceptions import BotoCoreError, ClientError

        name = inputs["name"]
        try:
            bucket.ensure(s3_client(inputs), name)
        except (BotoCoreError, ClientError) as error:
            raise ModelyardError(
                f"the bucket {name!r} can't be made at {inputs['endpoint_url']}: {error}",
                fix="`modelyard logs artifact_store` shows what the store says",
            ) from None
        return {"ready": name}

    def difference(self, inputs: Inputs) -> str | None:
        # The store keeps a bucket as a folder: asking it that way costs no import of an S3 client.
        return None if (Path(inputs["objects"]) / inputs["name"]).is_dir() else "the bucket is gone"

    def unmake(self, inputs: Inputs) -> None:
        pass


def s3_client(inputs: Inputs) -> Any:
    """A client for the store, with the secrets read from their files."""
    secrets = SecretFiles(Path(inputs["folder"]) / "secrets")
    keys = (secrets.read(inputs[key]) for key in ("access_key", "secret_key"))
    return bucket.client(inputs["endpoint_url"], inputs["region"], *keys)


class Bucket(Resource, module="modelyard", name="Bucket"):
    """One versioned bucket.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        name: The bucket's name.
        objects: The folder in which the store keeps its buckets.
        endpoint_url: Of the store.
        region: Of the store.
        access_key: Name of the secret with the access key.
        secret_key: Name of the secret with the secret key.
    """

    ready: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        name: str,
        objects: str,
        endpoint_url: Input[str],
        region: str,
        access_key: Input[str],
        secret_key: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "name": name,
            "objects": objects,
            "endpoint_url": endpoint_url,
            "region": region,
            "access_key": access_key,
            "secret_key": secret_key,
            "ready": None,
        }
        super().__init__(BucketProvider(), resource_name, inputs, opts)
