"""What a payload log counts."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelyard.serving.payloads.batches import PayloadBatch

log = logging.getLogger(__name__)
Reason = Literal["buffer_full", "spool_full", "spool_failed", "not_storable", "closed"]
_QUIET_SECONDS = 60.0
_MEANING: dict[Reason, str] = {
    "spool_full": "the spool folder is full: the store has been away, or slow, for too long",
    "spool_failed": "the spool folder can't be written",
    "not_storable": "it can't be written as columns",
}


@dataclass(frozen=True)
class PayloadStats:
    """What a payload log has done since it was made, and where it stands.

    Attributes:
        recorded_requests: Handed to the spool; from there they reach the store.
        recorded_rows: The rows of those.
        dropped_requests: By reason, of those that should have been recorded. `buffer_full`: they came faster than the
            spool took them. `spool_full`: the store has been away, or slow, for too long. `spool_failed`: the spool's
            disk is full or broken. `not_storable`: arrays and rows didn't go together. `closed`: after `close`.
        files_written: Parquet files that the writer has put into the store, also of what predecessors left.
        rows_written: Rows in those.
        bytes_written: Of those.
        upload_failures: Attempts that failed; each is made again.
        writer_restarts: How often the writer process ended without being told to.
        buffered_bytes: In memory now.
        spool_bytes: In the spool folder now, of all servers that share it.
        oldest_unwritten_seconds: Age of the oldest segment there that isn't in the store; 0: there is none.
        set_aside_segments: Segments there that no writer could read; a person has to look at them.
    """

    recorded_requests: int
    recorded_rows: int
    dropped_requests: Mapping[str, int]
    files_written: int
    rows_written: int
    bytes_written: int
    upload_failures: int
    writer_restarts: int
    buffered_bytes: int
    spool_bytes: int
    oldest_unwritten_seconds: float
    set_aside_segments: int


class Drops:
    """Counts requests that weren't recorded, and says so in the log once a minute at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._said: dict[Reason, float] = {}

    def count(self, reason: Reason, batches: Sequence[PayloadBatch], error: Exception | None = None) -> None:
        """These weren't recorded."""
        with self._lock:
            self._counts[reason] += sum(len(batch.request_ids) for batch in batches)
        now = time.monotonic()
        if reason in _MEANING and now - self._said.get(reason, float("-inf")) > _QUIET_SECONDS:
            self._said[reason] = now
            why = f": {error}" if error else ""
            log.warning("requests of model %s aren't recorded: %s%s", batches[0].model, _MEANING[reason], why)

    def by_reason(self) -> dict[str, int]:
        """The counts."""
        with self._lock:
            return dict(self._counts)
