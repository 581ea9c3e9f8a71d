"""A versioned bucket behind an S3 API.

As a program: `python -m modelyard.provisioning.bucket FILE`, a JSON document of `Request`'s fields. Keys are read from
the files that it names.
"""

import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from modelyard.errors import ModelyardError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

CHECKS = "modelyard/checks"
WORDS = {
    "InvalidAccessKeyId": "the store doesn't know the access key: is the Secret right?",
    "XAdminUserNotFound": "the store doesn't know the access key: is the Secret right?",  # versitygw's word
    "SignatureDoesNotMatch": "the secret key is not the one of that access key: is the Secret right?",
    "NoSuchBucket": "make the bucket, or say `create_bucket: true`",
    "403": "the keys are wrong, or not for this bucket: is the Secret right, and does the bucket's policy let them in?",
    "400": "the store doesn't take the request: are the keys and the `region` right?",
    "301": "the bucket is in another `region`",
    "AccessDenied": "the keys' owner needs s3:ListBucket, s3:GetBucketVersioning, s3:GetObject, s3:PutObject and "
    "s3:DeleteObject",
    "BucketAlreadyExists": "the name is somebody else's: choose another `bucket`",
}
"""By what a store answers: what to do."""


class Request(BaseModel):
    """Which bucket, where, and as whom.

    Attributes:
        endpoint_url: None is AWS's own.
        certificate_authority_file: Certificates (PEM) that the store's is checked against; None: public authorities.
        create: Whether it may be made, and its versioning turned on; if not, it has to be there so.
        check: Try to write, read, list and delete.
        seconds: How long to wait for the store to answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint_url: str | None
    region: str
    bucket: str
    access_key_file: Path
    secret_key_file: Path
    certificate_authority_file: Path | None = None
    create: bool = True
    check: bool = False
    seconds: float = 120


def ensure(client: "BaseClient", bucket: str) -> None:
    """Have a bucket that keeps older versions.

    Args:
        client: boto3's, for S3.
        bucket: Its name.
    """
    from botocore.exceptions import ClientError

    s3: Any = client
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) not in ("404", "NoSuchBucket"):
            raise
        # AWS wants to be told the region, save in the one that was its first; others neither need nor mind it.
        elsewhere = s3.meta.region_name not in (None, "us-east-1")
        place = {"CreateBucketConfiguration": {"LocationConstraint": s3.meta.region_name}} if elsewhere else {}
        s3.create_bucket(Bucket=bucket, **place)
    if not _is_versioned(s3, bucket):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def look(client: "BaseClient", bucket: str) -> None:
    """Look whether a bucket is there and keeps older versions.

    Raises:
        ModelyardError: it doesn't.
        botocore.exceptions.ClientError: the store refuses.
    """
    s3: Any = client
    if not _is_versioned(s3, bucket):
        raise ModelyardError(
            f"the bucket {bucket!r} keeps no older versions: what is overwritten or deleted would be lost",
            fix=f"let its owner run: aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled",
        )


def try_out(client: "BaseClient", bucket: str) -> None:
    """Do with one small object all that the platform does with many.

    Raises:
        ModelyardError: it can't be done; names what.
    """
    from botocore.exceptions import ClientError

    s3: Any = client
    key, content = f"{CHECKS}/{uuid.uuid4()}", b"may be deleted"
    versions = []
    doing = "write"
    try:
        versions.append(s3.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId"))
        doing = "read"
        read = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if read != content:
            raise ModelyardError(f"an object in {bucket!r} is not what was written: {read!r}")
        doing = "list"
        s3.list_objects_v2(Bucket=bucket, Prefix=f"{CHECKS}/", MaxKeys=1)
        doing = "delete"
        versions.append(s3.delete_object(Bucket=bucket, Key=key).get("VersionId"))
    except ClientError as error:
        raise ModelyardError(
            f"may not {doing} objects in the bucket {bucket!r}: {error}", fix=WORDS.get(_code(error), "")
        ) from None
    for version in filter(None, versions):
        with suppress(ClientError):  # the platform itself never deletes versions: it may not be allowed to
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


def client(
    endpoint_url: str | None,
    region: str,
    access_key: str,
    secret_key: str,
    *,
    certificate_authority: Path | None = None,
) -> Any:
    """A client with these keys and nothing of the caller's own AWS settings."""
    import boto3
    import botocore.session
    from botocore.config import Config

    nobodys = {"profile": (None, None, None, None), "config_file": (None, None, "/dev/null", None)}
    session = boto3.session.Session(botocore_session=botocore.session.Session(session_vars=nobodys))
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=str(certificate_authority) if certificate_authority else None,
        config=Config(
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            proxies={},
            connect_timeout=5,
            retries={"max_attempts": 2},
        ),
    )


def run(request: Request) -> None:
    """Make the bucket, or look that it is there; and whether it can be used.

    Raises:
        ModelyardError: it can't be had, or can't be used.
        botocore.exceptions.BotoCoreError: the store can't be reached in time, or isn't one.
    """
    from botocore.exceptions import ClientError, HTTPClientError, SSLError
    from botocore.exceptions import ConnectionError as Unreachable

    keys = (file.read_text().strip() for file in (request.access_key_file, request.secret_key_file))
    authority = request.certificate_authority_file
    s3 = client(request.endpoint_url, request.region, *keys, certificate_authority=authority)
    deadline = time.monotonic() + request.seconds
    while True:
        try:
            (ensure if request.create else look)(s3, request.bucket)
            if request.check:
                try_out(s3, request.bucket)
            return
        except ClientError as error:
            raise ModelyardError(str(error), fix=WORDS.get(_code(error), "")) from None
        except SSLError as error:
            raise ModelyardError(
                str(error), fix="is the certificate by `certificate_authority`, and for that host?"
            ) from None
        except (Unreachable, HTTPClientError) as error:
            if time.monotonic() > deadline:
                fix = "is `endpoint_url` right, does it let the cluster in, and does `reached_at` name where it is?"
                raise ModelyardError(f"{error}", fix=fix) from None
            time.sleep(1)


def _is_versioned(s3: Any, bucket: str) -> bool:
    return bool(s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled")


def _code(error: "ClientError") -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def main() -> None:
    from botocore.exceptions import BotoCoreError

    request = Request.model_validate_json(Path(sys.argv[1]).read_bytes())
    where = request.endpoint_url or f"AWS, {request.region}"
    try:
        run(request)
    except (ModelyardError, BotoCoreError) as error:
        sys.exit(f"the bucket {request.bucket!r} is not to be had at {where}: {error}")
    print(f"the bucket {request.bucket!r} is there" + (", and can be used" if request.check else ""))


if __name__ == "__main__":
    main()
