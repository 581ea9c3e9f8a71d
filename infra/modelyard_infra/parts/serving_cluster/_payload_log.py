"""What is recorded of requests to models, as settings."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from modelyard_infra.parts import PartSettings


class PayloadLog(PartSettings):
    """What is recorded of the requests to models.

    Attributes:
        sample: Share of the requests, above 0, up to 1.
        redact: Columns, inputs or outputs, that are never stored.
        max_seconds: How old records are, at most, when they reach the artifact store (while it answers).
        max_spool_mib: What may wait on this machine's disk while it doesn't; more is dropped, and counted.
    """

    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    redact: tuple[str, ...] = ()
    max_seconds: PositiveFloat = 60
    max_spool_mib: PositiveInt = 1024


def as_settings(
    wanted: PayloadLog | None,
    *,
    spool: Path,
    bucket: str,
    endpoint_url: str | None,
    region: str,
    access_key_file: str,
    secret_key_file: str,
    certificate_authority_file: str | None = None,
) -> str | None:
    """As a model server is told of it, in JSON; None: nothing is recorded.

    Args:
        wanted: What the stack says.
        spool: A folder on the disk where the server runs.
        bucket: Of the artifact store; the other arguments are how that is reached from there.
    """
    if wanted is None:
        return None
    from modelyard.serving.payloads.settings import PayloadSettings, StoreAddress, destination

    store = StoreAddress(
        destination(bucket),
        endpoint_url=endpoint_url,
        region=region,
        access_key_file=Path(access_key_file),
        secret_key_file=Path(secret_key_file),
        certificate_authority_file=Path(certificate_authority_file) if certificate_authority_file else None,
    )
    settings = PayloadSettings(
        store,
        spool=spool,
        sample=wanted.sample,
        redact=frozenset(wanted.redact),
        max_seconds=wanted.max_seconds,
        max_spool_mib=wanted.max_spool_mib,
    )
    return settings.to_json().decode()
