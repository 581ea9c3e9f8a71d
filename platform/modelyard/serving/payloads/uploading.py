"""From segments to Parquet files in the store."""

import logging
import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.frames import Frame, decode
from modelyard.serving.payloads.layout import PAYLOADS, partition
from modelyard.serving.payloads.segments import SegmentName
from modelyard.serving.payloads.settings import PayloadSettings
from modelyard.serving.payloads.store import Store
from modelyard.serving.payloads.tables import day_tables
from modelyard.serving.payloads.writer_process import WriterTotals

log = logging.getLogger(__name__)


class StoreAway(Exception):
    """The store doesn't take files."""


class Uploading:
    """Brings segments to the store.

    Args:
        settings: Of the payload log.
        totals: Counts what was done.
    """

    def __init__(self, settings: PayloadSettings, totals: WriterTotals) -> None:
        self._settings = settings
        self._totals = totals
        self._store: Store | None = None
        self._failed: set[str] = set()

    def work_off(self) -> Iterator[None]:
        """Upload the segments that nobody has in use; yields after each.

        Raises:
            StoreAway: the rest waits.
        """
        # One that has failed comes last: should the store take all but this one, the others aren't held up.
        paths = sorted(segments.waiting(self._settings.spool), key=lambda path: path.name in self._failed)
        for path in paths:
            with segments.claimed(path) as is_mine:
                if is_mine:
                    self._upload(path)
                    yield

    def _upload(self, path: Path) -> None:
        name = SegmentName.of(path.name)
        assert name is not None
        try:
            files = _parquet_files(path, name)
        except Exception:
            log.exception("segment %s can't be read: it is set aside", path.name)
            path.rename(path.with_suffix(segments.SET_ASIDE))
            return
        try:
            self._store = self._store or Store(self._settings.store)
            for key, content in files.items():
                self._store.put(key, content[0])
        except (OSError, pa.ArrowException) as error:
            self._store = None
            self._totals.failures += 1
            self._failed.add(path.name)
            raise StoreAway(str(error)) from error
        path.unlink()
        self._failed.discard(path.name)
        self._totals.files += len(files)
        self._totals.rows += sum(rows for _, rows in files.values())
        self._totals.bytes += sum(content.size for content, _ in files.values())


def _parquet_files(path: Path, name: SegmentName) -> dict[str, tuple[pa.Buffer, int]]:
    """What a segment becomes: key in the store → file and rows. The same segment always becomes the same keys."""
    found: dict[str, tuple[pa.Buffer, int]] = {}
    for one in day_tables(_frames(path)):
        folder = partition(PAYLOADS, one.model, one.version, one.day)
        key, others = f"{folder}/{name.stem}.parquet", 1
        while key in found:
            key, others = f"{folder}/{name.stem}-{others}.parquet", others + 1
        table = one.table()
        found[key] = (_parquet(table), table.num_rows)
    return found


def _frames(path: Path) -> Iterator[Frame]:
    length = path.stat().st_size
    if not length:
        return
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)  # never closed by hand: columns are views of it
    yield from decode(
        memoryview(content),
        lambda rest: log.warning("segment %s ends with %d bytes of what a killed server was writing", path.name, rest),
    )


def _parquet(table: pa.Table) -> pa.Buffer:
    # A dictionary pays where values repeat; numbers are better off without.
    texts = [one.name for one in table.schema if pa.types.is_string(one.type) and one.name != "request_id"]
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd", compression_level=1, use_dictionary=texts)
    return out.getvalue()
