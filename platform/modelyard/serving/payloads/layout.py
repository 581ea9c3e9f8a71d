"""Where files lie in the store: Hive partitions, so that every reader of Parquet finds its way."""

import hashlib
import re
from datetime import date
from pathlib import PurePosixPath

PAYLOADS, FEEDBACK = "payloads", "feedback"
SCHEMA_VERSION = 1
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]")  # Hive's FileUtils.escapePathName
_CODE = re.compile(r"%([0-9A-Fa-f]{2})")
_LONGEST = 200  # bytes: file systems take names of 255, and `version=` has to fit


def partition_value(value: str) -> str:
    """A value as part of a path, encoded as Hive does; one that is too long for a file's name ends in its digest.

    >>> partition_value("a/b=c d")
    'a%2Fb%3Dc d'
    """
    encoded = _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", value)
    if len(encoded.encode()) <= _LONGEST:
        return encoded
    digest = hashlib.sha256(value.encode()).hexdigest()[:16]
    kept = encoded.encode()[: _LONGEST - len(digest) - 1].decode(errors="ignore")
    return f"{re.sub('%.?$', '', kept)}-{digest}"


def decoded(value: str) -> str:
    """What `partition_value` encoded, unless that was too long."""
    return _CODE.sub(lambda match: chr(int(match[1], 16)), value)


def model_folder(kind: str, model: str) -> str:
    """The folder of one model.

    Args:
        kind: `PAYLOADS` or `FEEDBACK`.
        model: Its name.
    """
    return f"{kind}/model={partition_value(model)}"


def partition(kind: str, model: str, version: str, day: date) -> str:
    """The folder of one model version's records of one day (UTC)."""
    return f"{model_folder(kind, model)}/version={partition_value(version)}/day={day.isoformat()}"


def value_in(key: str, name: str) -> str | None:
    """The value of a partition in a path; None: the path doesn't say.

    >>> value_in("payloads/model=bike/version=3/day=2026-01-31/x.parquet", "version")
    '3'
    """
    for part in PurePosixPath(key).parts:
        if part.startswith(f"{name}="):
            return decoded(part.removeprefix(f"{name}="))
    return None
