"""Settings of a payload log. Plain dataclasses: importing a validation library would cost a replica's memory."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from modelyard.errors import ModelyardError

MIB = 1024 * 1024
_PATHS = ("spool", "access_key_file", "secret_key_file", "certificate_authority_file")


def destination(bucket: str) -> str:
    """Where a platform's payload log lies in its artifact store; MLflow's experiments have numbers for names there."""
    return f"s3://{bucket}/modelyard"


@dataclass(frozen=True)
class StoreAddress:
    """A folder of an artifact store, below which `payloads/` and `feedback/` lie.

    Attributes:
        destination: `s3://BUCKET/PREFIX`, `file:///FOLDER`, or the path of a folder.
        endpoint_url: Of an S3 server that isn't AWS; None: AWS.
        region: Of the bucket; None: AWS is asked, other servers get `us-east-1`.
        access_key_file: The file with the access key, read whenever the store is connected to. None: the AWS SDK's
            own chain (environment, profile, the pod's or the machine's identity).
        secret_key_file: The file with the secret key.
        certificate_authority_file: Certificates (PEM) that the store's is checked against; None: public authorities.

    Raises:
        ModelyardError: the destination is none of those, or one key file is there without the other.
    """

    destination: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    certificate_authority_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.destination)
        is_folder = self.destination.startswith("/") or (parts.scheme == "file" and not parts.netloc and parts.path)
        if not is_folder and not (parts.scheme == "s3" and parts.netloc):
            raise ModelyardError(
                f"payload destination {self.destination!r} is no place to store files",
                fix="valid are s3://BUCKET/PREFIX, file:///FOLDER and an absolute path",
            )
        if (self.access_key_file is None) != (self.secret_key_file is None):
            raise ModelyardError("one of access_key_file and secret_key_file is missing", fix="name both or none")


@dataclass(frozen=True)
class PayloadSettings:
    """The payload log of one server process.

    Attributes:
        store: Where Parquet files go.
        spool: A folder on a local disk, which several servers may share. It holds what isn't in the store yet.
        sample: The share of requests that are recorded, above 0, up to 1.
        redact: Names of columns, inputs or outputs, that are never stored.
        max_buffer_mib: What may wait in the server's memory; further requests aren't recorded.
        max_spool_mib: What the spool folder may hold; further requests aren't recorded.
        max_rows: A segment is closed once it has so many rows, so a Parquet file has about as many at most.
        max_segment_mib: A segment is closed once it is so large; the writer holds a few times that in memory.
        max_seconds: A segment is closed after this, so it is about how old records are when they reach the store.

    Raises:
        ModelyardError: a value is out of its range.
    """

    store: StoreAddress
    spool: Path
    sample: float = 1.0
    redact: frozenset[str] = frozenset()
    max_buffer_mib: float = 32
    max_spool_mib: float = 1024
    max_rows: int = 100_000
    max_segment_mib: float = 16
    max_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise ModelyardError(f"payload sample is {self.sample}", fix="valid is a share above 0, up to 1 (all)")
        for name in ("max_buffer_mib", "max_spool_mib", "max_rows", "max_segment_mib", "max_seconds"):
            if not getattr(self, name) > 0:
                raise ModelyardError(f"payload {name} is {getattr(self, name)}", fix="it has to be above 0")
        if isinstance(self.redact, str):
            raise ModelyardError(f"payload redact is the text {self.redact!r}", fix="valid is a list of column names")

    def to_json(self) -> bytes:
        """For another process; it holds no secret, only where secrets lie."""
        return orjson.dumps(self, default=_plain)

    @classmethod
    def from_json(cls, document: bytes | str) -> Self:
        """What `to_json` wrote, or a person: settings with defaults may be left out.

        Raises:
            ModelyardError: a key isn't known, or a value is out of its range.
        """
        given = dict(orjson.loads(document))
        _refuse_unknown(given, (field.name for field in fields(cls)), "payload log")
        store = dict(given.pop("store"))
        _refuse_unknown(store, (field.name for field in fields(StoreAddress)), "payload log's store")
        given["redact"] = frozenset(given.get("redact", ()))
        return cls(store=StoreAddress(**_with_paths(store)), **_with_paths(given))


def _plain(value: object) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _with_paths(given: dict[str, Any]) -> dict[str, Any]:
    return {key: Path(value) if key in _PATHS and value else value for key, value in given.items()}


def _refuse_unknown(given: dict[str, Any], known: Iterable[str], what: str) -> None:
    valid = list(known)
    if unknown := sorted(set(given) - set(valid)):
        raise ModelyardError(f"the {what} has no setting {unknown[0]!r}", fix=f"it has: {', '.join(valid)}")
