"""Finding recorded files: which models there are, and the Parquet files of one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from modelyard.descriptor import Descriptor
from modelyard.errors import ModelyardError, Unreachable
from modelyard.serving.payloads.layout import PAYLOADS, decoded, model_folder, partition_value, value_in
from modelyard.serving.payloads.settings import StoreAddress, destination
from modelyard.serving.payloads.store import Store

SWITCH_ON = (
    "switch it on with `payload_log: {sample: 1.0}` in the settings of the stack's serving_cluster; if it is on, "
    "wait for its first file, about a minute"
)


@dataclass(frozen=True)
class RecordedFile:
    """One Parquet file.

    Attributes:
        key: In the store.
        version: Of the model.
        day: Of the predictions in it (UTC).
    """

    key: str
    version: str
    day: date


def address_of(platform: Descriptor) -> StoreAddress:
    """Where a platform's payload log is.

    Raises:
        ModelyardError: the platform has no artifact store.
    """
    store = platform.artifact_store
    if store is None:
        raise ModelyardError(
            f"platform {platform.stack!r} has no artifact store", fix="name the payload log's folder with --store"
        )
    return StoreAddress(
        destination(store.bucket), store.endpoint_url, store.region, store.access_key_file, store.secret_key_file
    )


def address_at(url: str) -> StoreAddress:
    """A payload log by its URL; credentials and endpoint come from the environment, as the AWS SDKs know it.

    Raises:
        ModelyardError: the URL is no place to store files.
    """
    place = url if "://" in url else str(Path(url).absolute())
    return StoreAddress(place, os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))


class PayloadFiles:
    """The recorded files of a store.

    Args:
        address: Of the store.

    Raises:
        Unreachable: it can't be opened.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        try:
            self.store = Store(address)
        except OSError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: Exception) -> Unreachable:
        """What to say when the store failed."""
        place = f" at {self.address.endpoint_url}" if self.address.endpoint_url else ""
        return Unreachable(
            f"the store {self.address.destination}{place} does not answer: {error}",
            fix="`modelyard status` shows what is down",
        )

    def of(self, kind: str, model: str, version: str | None = None, since: date | None = None) -> list[RecordedFile]:
        """The files of a model, by version and day.

        Args:
            kind: `PAYLOADS` or `FEEDBACK`.
            model: Its name.
            version: Only of this one.
            since: Only of this day (UTC) and later ones.

        Raises:
            Unreachable: the store doesn't answer.
        """
        return list(self._files(model_folder(kind, model), version, since))

    def recorded(self, model: str, version: str | None = None, since: date | None = None) -> list[RecordedFile]:
        """The recorded requests of a model: at least one file.

        Raises:
            Unreachable: the store doesn't answer.
            ModelyardError: there is none, and why that may be.
        """
        if found := self.of(PAYLOADS, model, version, since):
            return found
        models = sorted(decoded(key.rpartition("model=")[2]) for key in self._listed(PAYLOADS) if "/model=" in key)
        if model not in models and partition_value(model) not in models:
            there = f"; there is one for: {', '.join(models)}" if models else ""
            raise ModelyardError(f"there is no payload log for model {model!r}{there}", fix=SWITCH_ON)
        versions = sorted({file.version for file in self.of(PAYLOADS, model)})
        if version is not None and version not in versions:
            raise ModelyardError(
                f"nothing was recorded of model {model!r} in version {version!r}",
                fix=f"it was in: {', '.join(versions) or 'none'}",
            )
        latest = max(file.day for file in self.of(PAYLOADS, model))
        raise ModelyardError(
            f"nothing was recorded of model {model!r} since {since}", fix=f"the latest are of {latest}: see --since"
        )

    def _files(self, folder: str, version: str | None, since: date | None) -> Iterator[RecordedFile]:
        for of_version in self._listed(folder):
            found = value_in(of_version, "version")
            if found is None or (version is not None and partition_value(version) != of_version.rpartition("=")[2]):
                continue
            for of_day in self._listed(of_version):
                day = date.fromisoformat(value_in(of_day, "day") or "0001-01-01")
                if since is None or day >= since:
                    keys = (key for key in self._listed(of_day) if key.endswith(".parquet"))
                    yield from (RecordedFile(key, found, day) for key in keys if not _is_hidden(key))

    def _listed(self, key: str) -> list[str]:
        try:
            return self.store.listed(key)
        except OSError as error:
            raise self.unreachable(error) from error


def _is_hidden(key: str) -> bool:
    return key.rpartition("/")[2].startswith(".")
