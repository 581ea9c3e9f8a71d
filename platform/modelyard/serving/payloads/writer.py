"""The writer process: `python -m modelyard.serving.payloads.writer`, started by the server's payload log alone.

Its input is the settings on a line, then a byte for each segment that was closed. It ends after the input has ended:
once the spool is worked off or, with the store away, after one attempt.
"""

import logging
import os
import random
import select
import signal
import sys
import time

import orjson
import pyarrow as pa

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.settings import PayloadSettings
from modelyard.serving.payloads.uploading import StoreAway, Uploading
from modelyard.serving.payloads.writer_process import EVERYTHING_WRITTEN, SOMETHING_LEFT, WriterTotals

log = logging.getLogger(__name__)
_LOOK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Writer:
    """Uploads segments until its input ends.

    Args:
        settings: Of the payload log.
    """

    def __init__(self, settings: PayloadSettings) -> None:
        self._totals = WriterTotals()
        self._uploading = Uploading(settings, self._totals)
        self._pause = 0.0
        self._not_before = 0.0

    def run(self, wakes: int) -> int:
        """The exit code, once there is nothing more to do.

        Args:
            wakes: The file descriptor of the input.
        """
        has_ended = False
        while True:
            if has_ended or time.monotonic() >= self._not_before:
                self._work_off()
                _report(self._totals)
            if has_ended:
                return SOMETHING_LEFT if self._pause else EVERYTHING_WRITTEN
            has_ended = _ended(wakes, self._seconds())

    def _seconds(self) -> float:
        return max(0.0, self._not_before - time.monotonic()) if self._pause else _LOOK_SECONDS

    def _work_off(self) -> None:
        try:
            for _ in self._uploading.work_off():
                self._pause = 0.0
                _report(self._totals)
        except StoreAway as error:
            self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
            wait = self._pause * random.uniform(0.7, 1.3)  # noqa: S311 - many writers shouldn't come back at once
            self._not_before = time.monotonic() + wait
            log.warning("payload log: the store takes nothing; next attempt in %.1f s: %s", wait, error)
        else:
            self._pause = self._not_before = 0.0
        pa.default_memory_pool().release_unused()


def main() -> int:
    """Run as a process of its own."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Sent to the whole group; the server needs the writer until it has drained, and then closes its input.
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(5)  # predictions come first
    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
    with os.fdopen(0, "rb", buffering=0) as wakes:
        line = wakes.readline()
        if not line:
            return EVERYTHING_WRITTEN
        settings = PayloadSettings.from_json(line)
        segments.sweep(settings.spool)
        return Writer(settings).run(wakes.fileno())


def _ended(wakes: int, timeout: float) -> bool:
    """Wait for a wake; True: there will be no more, the server has ended."""
    readable, _, _ = select.select([wakes], [], [], timeout)
    if not readable:
        return False
    return not os.read(wakes, 65536)


def _report(totals: WriterTotals) -> None:
    try:
        os.write(1, orjson.dumps(totals) + b"\n")
    except OSError:
        return  # the server has gone; its segments have not


if __name__ == "__main__":
    sys.exit(main())
