"""The writer process as its server sees it: started, started anew when it ends, told when a segment is closed."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, fields

import orjson

from modelyard.serving.payloads.settings import PayloadSettings

log = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_QUICK_SECONDS = 10.0
_KILL_SECONDS = 2.0
# A third less memory than with Arrow's own pool, at the same speed.
_SMALL = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
EVERYTHING_WRITTEN, SOMETHING_LEFT = 0, 4
"""Exit codes of a writer whose input has ended."""
_IN_ORDER = (EVERYTHING_WRITTEN, SOMETHING_LEFT)


@dataclass
class WriterTotals:
    """What a writer has done; it reports that as a line of JSON after each segment."""

    files: int = 0
    rows: int = 0
    bytes: int = 0
    failures: int = 0

    def plus(self, other: "WriterTotals") -> "WriterTotals":
        """Both together."""
        return WriterTotals(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class WriterProcess:
    """Keeps a writer alive.

    Its input is a pipe: each byte after the settings means that a segment was closed, and its end that the server has
    ended, however that came about. Its output is the totals.

    Args:
        settings: Of the payload log.
    """

    def __init__(self, settings: PayloadSettings) -> None:
        self.restarts = 0
        self._settings = settings
        self._before, self._now = WriterTotals(), WriterTotals()
        self._process: subprocess.Popen[bytes] | None = None
        self._code: int | None = None
        self._is_given_up = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="payload writer", daemon=True)
        self._thread.start()

    def totals(self) -> WriterTotals:
        """What all writers of this server have done."""
        with self._lock:
            return self._before.plus(self._now)

    def wake(self) -> None:
        """A segment was closed. Never blocks: a writer that doesn't read looks at the spool by itself later."""
        with self._lock:
            if self._process and self._process.stdin and not self._process.stdin.closed:
                with suppress(OSError):
                    os.write(self._process.stdin.fileno(), b"\n")

    def close(self, timeout: float) -> bool:
        """Let the writer do what there is to do, and end; after the time it is killed, and its spool stays.

        Args:
            timeout: Seconds.

        Returns:
            Whether nothing was left to do.
        """
        with self._lock:
            self._closing.set()
            if self._process and self._process.stdin:
                self._process.stdin.close()
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.warning("the payload writer was not done after %g s; the next one goes on", timeout)
            with self._lock:
                self._is_given_up = True
                if self._process:
                    self._process.kill()
            self._thread.join(_KILL_SECONDS)
        return self._code == EVERYTHING_WRITTEN

    def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began, is_last = time.monotonic(), self._closing.is_set()
            process = self._start()
            if process is not None:
                self._listen(process)
                self._code = process.wait()
            if is_last or self._is_given_up or (self._closing.is_set() and self._code in _IN_ORDER):
                return
            self.restarts += 1
            if process is not None:
                log.warning("the payload writer has ended with %d; it is started anew", self._code)
            pause = _FIRST_PAUSE if time.monotonic() - began > _QUICK_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            self._closing.wait(pause)

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """Start a writer; when the log is being closed, with an input that has ended already."""
        command = [sys.executable, "-m", "modelyard.serving.payloads.writer"]
        with self._lock:
            if self._process and self._process.stdin:
                self._process.stdin.close()
            self._before, self._now = self._before.plus(self._now), WriterTotals()
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | _SMALL
                )
            except OSError as error:
                log.error("the payload writer can't be started: %s", error)
                return None
            assert process.stdin
            with suppress(BrokenPipeError):
                process.stdin.write(self._settings.to_json() + b"\n")
                process.stdin.flush()
                os.set_blocking(process.stdin.fileno(), False)
            if self._closing.is_set():
                process.stdin.close()
            self._process = process
            return process

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                with suppress(ValueError, TypeError):
                    totals = WriterTotals(**orjson.loads(line))
                    with self._lock:
                        self._now = totals
