"""The server's end of the payload log: takes batches at the cost of an append, and never blocks or raises."""

import logging
import random
import threading
import time

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.batches import PayloadBatch, held_bytes
from modelyard.serving.payloads.settings import MIB, PayloadSettings
from modelyard.serving.payloads.spool import Spool
from modelyard.serving.payloads.stats import Drops, PayloadStats
from modelyard.serving.payloads.storing import Storing
from modelyard.serving.payloads.writer_process import WriterProcess

log = logging.getLogger(__name__)
GATHER_SECONDS = 0.1
"""How long batches gather in memory before they go to the spool: the longer, the cheaper each is."""
_STORED_AT_ONCE = 2 * MIB


class PayloadLog:
    """Records batches of one server process.

    Make it in the process that uses it: threads and locks don't survive a fork.

    Args:
        settings: What is recorded, and where to.
    """

    def __init__(self, settings: PayloadSettings) -> None:
        self._settings = settings
        self._all = settings.sample >= 1
        self._random = random.Random().random  # noqa: S311 - of its own: models seed the shared one
        self._limit = int(settings.max_buffer_mib * MIB)
        self._lock = threading.Lock()
        self._pending: list[tuple[PayloadBatch, int]] = []
        self._held = 0
        self._is_closed = False
        self._wake, self._closing = threading.Event(), threading.Event()
        self._drops = Drops()
        self._spool = Spool(settings)
        self._storing = Storing(self._spool, settings.redact, self._drops)
        self._writer = WriterProcess(settings)
        self._thread = threading.Thread(target=self._run, name="payload log", daemon=True)
        self._thread.start()

    def wants(self) -> bool:
        """Whether the next request is to be recorded: decided anew for each, by chance."""
        return self._all or self._random() < self._settings.sample

    def add(self, batch: PayloadBatch) -> None:
        """Record a batch, or count it as dropped. From any thread; never blocks, never raises."""
        try:
            size = held_bytes(batch)
        except Exception as error:
            self._drops.count("not_storable", [batch], error)
            return
        with self._lock:
            takes = not self._is_closed and self._held + size <= self._limit
            if takes:
                self._held += size
                self._pending.append((batch, size))
                is_first = len(self._pending) == 1
        if not takes:
            self._drops.count("closed" if self._is_closed else "buffer_full", [batch])
        elif is_first:
            self._wake.set()

    def stats(self) -> PayloadStats:
        """The counters, and a look at the spool folder."""
        spool, writer = segments.use(self._settings.spool), self._writer.totals()
        return PayloadStats(
            recorded_requests=self._storing.requests,
            recorded_rows=self._storing.rows,
            dropped_requests=self._drops.by_reason(),
            files_written=writer.files,
            rows_written=writer.rows,
            bytes_written=writer.bytes,
            upload_failures=writer.failures,
            writer_restarts=self._writer.restarts,
            buffered_bytes=self._held,
            spool_bytes=spool.size,
            oldest_unwritten_seconds=max(0.0, (time.time_ns() - spool.oldest_ns) / 1e9) if spool.oldest_ns else 0.0,
            set_aside_segments=spool.set_aside,
        )

    def close(self, timeout: float = 10.0) -> bool:
        """Record nothing more, and bring what there is to the store, or at least to the spool. Blocks.

        With the store away this takes one attempt; what is in the spool is then the next writer's.

        Args:
            timeout: Seconds.

        Returns:
            Whether all of it reached the store.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._is_closed = True
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        is_spooled = not self._thread.is_alive()
        return self._writer.close(max(0.0, deadline - time.monotonic())) and is_spooled

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._spool.seconds_left())
            self._wake.clear()
            if self._pending:
                self._closing.wait(GATHER_SECONDS)
            self._pass_on()
        self._pass_on()
        self._spool.close()

    def _pass_on(self) -> None:
        """All that is pending goes to the spool."""
        with self._lock:
            taken, self._pending = self._pending, []
        taken.reverse()
        while taken:
            batches, size = [], 0
            while taken and size < _STORED_AT_ONCE:
                batch, of_batch = taken.pop()
                batches.append(batch)
                size += of_batch
            if self._storing.store(batches):
                self._writer.wake()
            with self._lock:
                self._held -= size
        if self._spool.close_if_due():
            self._writer.wake()
