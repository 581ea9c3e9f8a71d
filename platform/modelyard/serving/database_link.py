"""The agent's thread that talks to the database, which may be away at any time."""

import logging
import threading
from collections.abc import Callable

import psycopg

from modelyard.errors import ModelyardError
from modelyard.serving.deployments import Deployments, open_deployments
from modelyard.serving.pools import DesiredPool, HistoryEntry, ObservedPool
from modelyard.serving.schema import CHANNEL
from modelyard.serving.settings import DatabaseSettings

log = logging.getLogger(__name__)
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
REREAD_POLLS = 50  # a notification can get lost


class DatabaseLink:
    """Reads what should be served as soon as it changes, and writes what is.

    Args:
        settings: Which database.
        wake: Called when there is something new to read here.
    """

    def __init__(self, settings: DatabaseSettings, wake: Callable[[], None]) -> None:
        self.reachable: bool | None = None  # not tried yet
        self._settings = settings
        self._wake = wake
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._desired: tuple[DesiredPool, ...] | None = None
        self._observed: tuple[ObservedPool, ...] | None = None
        self._unwritten: tuple[HistoryEntry, ...] = ()
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what is left to write, if that can be done within `timeout` seconds."""
        self._stop.set()
        self._thread.join(timeout)

    @property
    def desired(self) -> tuple[DesiredPool, ...] | None:
        """As last read; None: not read yet."""
        with self._lock:
            return self._desired

    @property
    def unwritten(self) -> tuple[HistoryEntry, ...]:
        """History that the database doesn't have yet."""
        with self._lock:
            return self._unwritten

    def observe(self, pools: tuple[ObservedPool, ...]) -> None:
        """Report what is served."""
        with self._lock:
            self._observed = pools

    def record(self, entries: tuple[HistoryEntry, ...]) -> None:
        """Add to the history, now or when the database is back."""
        with self._lock:
            self._unwritten += entries

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with open_deployments(self._settings) as deployments:
                    self._talk(deployments)
            except (ModelyardError, psycopg.Error) as error:
                if self.reachable is not False:
                    log.warning("going on without the database: %s", error)
                self.reachable = False
                self._stop.wait(RETRY_SECONDS)
            except Exception:
                # Without this thread the agent would go on for ever with what should have been served once.
                if self.reachable is not False:
                    log.exception("going on without the database")
                self.reachable = False
                self._stop.wait(RETRY_SECONDS)

    def _talk(self, deployments: Deployments) -> None:
        connection = deployments.connection
        connection.execute(f"LISTEN {CHANNEL}")
        written: tuple[ObservedPool, ...] | None = None
        polls = 0
        while True:
            if polls % REREAD_POLLS == 0:
                self._take(deployments.desired())
            polls += 1
            written = self._flush(deployments, written)
            if self._stop.is_set():
                return
            if any(True for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1)):
                polls = 0

    def _take(self, desired: tuple[DesiredPool, ...]) -> None:
        if not self.reachable:
            log.info("the database answers")
        self.reachable = True
        with self._lock:
            changed = desired != self._desired
            self._desired = desired
        if changed:
            self._wake()

    def _flush(
        self, deployments: Deployments, written: tuple[ObservedPool, ...] | None
    ) -> tuple[ObservedPool, ...] | None:
        with self._lock:
            observed, entries = self._observed, self._unwritten
        if entries:
            deployments.record(entries)
            with self._lock:
                self._unwritten = self._unwritten[len(entries) :]
            self._wake()
        if observed is not None and observed != written:
            deployments.observe(observed)
        return observed
