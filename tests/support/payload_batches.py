"""Batches for payload logs, and what of them is in the store."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelyard.serving.payloads import Matrix, PayloadBatch, PayloadSettings, StoreAddress
from modelyard.serving.payloads.spool import Spool
from modelyard.serving.payloads.stats import Drops
from modelyard.serving.payloads.store import Store
from modelyard.serving.payloads.storing import Storing
from modelyard.serving.payloads.uploading import Uploading
from modelyard.serving.payloads.writer_process import WriterTotals

NAMES = ("temperature", "wind", "secret")


def a_batch(
    ids: Sequence[str] = ("r0",), *, rows: int = 1, model: str = "bike", version: str = "1", time_ns: int | None = None
) -> PayloadBatch:
    """Requests of `rows` rows each; outputs are numbered from 0."""
    count = rows * len(ids)
    values = np.arange(count * len(NAMES), dtype=float).reshape(count, len(NAMES))
    outputs = {"count": np.arange(count, dtype=float)}
    moment = time.time_ns() if time_ns is None else time_ns
    return PayloadBatch(model, version, moment, list(ids), [rows] * len(ids), Matrix(NAMES, values), outputs)


def recorded(settings: PayloadSettings, *batches: PayloadBatch) -> None:
    """Bring batches to the store the way a server and its writer do, in this process."""
    spool = Spool(settings)
    storing = Storing(spool, settings.redact, Drops())
    storing.store(batches)
    spool.close()
    for _ in Uploading(settings, WriterTotals()).work_off():
        pass


def stored(address: StoreAddress, kind: str = "payloads") -> dict[str, pa.Table]:
    """The Parquet files of a store, by key."""
    store = Store(address)
    keys = [key for key in store.listed(kind, recursive=True) if key.endswith(".parquet")]
    return {key: pq.read_table(store.path(key), filesystem=store.files, partitioning=None) for key in keys}


def stored_ids(address: StoreAddress) -> list[str]:
    """The request ids in a store, one for each row."""
    return sorted(one for table in stored(address).values() for one in table["request_id"].to_pylist())


def files_below(folder: Path) -> list[str]:
    """Relative paths."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def content_of(folder: Path) -> Iterable[bytes]:
    """The bytes of each file."""
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())
