"""From batches to the spool, without ever failing: what can't be stored is counted."""

import logging
from collections.abc import Sequence

from modelyard.serving.payloads.batches import PayloadBatch
from modelyard.serving.payloads.frames import Frame, encode
from modelyard.serving.payloads.joining import joined, kinds
from modelyard.serving.payloads.spool import Spool, SpoolFull
from modelyard.serving.payloads.stats import Drops

log = logging.getLogger(__name__)


class Storing:
    """For one thread.

    Args:
        spool: Where frames go.
        redact: Names of columns that mustn't get there.
        drops: Where it is counted what didn't.
    """

    def __init__(self, spool: Spool, redact: frozenset[str], drops: Drops) -> None:
        self._spool = spool
        self._redact = redact
        self._drops = drops
        self._introduced: set[tuple[str, str]] = set()
        self.requests = self.rows = 0

    def store(self, batches: Sequence[PayloadBatch]) -> bool:
        """Store what can be; True: that has closed a segment."""
        try:
            return any([self._store_kind(one) for one in kinds(batches)])  # all of them, not up to the first
        except Exception as error:
            return self._one_by_one(batches, error)

    def _store_kind(self, batches: Sequence[PayloadBatch]) -> bool:
        try:
            frame = joined(batches, self._redact)
            pieces, rows = encode(frame), int(frame.rows.sum())
        except Exception as error:
            return self._one_by_one(batches, error)
        try:
            has_closed = self._spool.append(pieces, rows)
        except SpoolFull:
            self._drops.count("spool_full", batches)
            return False
        except OSError as error:
            self._drops.count("spool_failed", batches, error)
            return False
        self.requests += len(frame.request_ids)
        self.rows += rows
        if (frame.model, frame.version) not in self._introduced:
            self._introduce(frame)
        return has_closed

    def _one_by_one(self, batches: Sequence[PayloadBatch], error: Exception) -> bool:
        """One of them isn't what it should be: alone, the others can be stored."""
        if len(batches) > 1:
            return any([self.store([batch]) for batch in batches])
        self._drops.count("not_storable", batches, error)
        return False

    def _introduce(self, frame: Frame) -> None:
        """A redacted name that is misspelt shows here: the column is then among the stored ones."""
        self._introduced.add((frame.model, frame.version))
        log.info(
            "payload log: of model %s version %s are stored inputs %s and outputs %s, and never %s",
            frame.model,
            frame.version,
            [name for one in frame.inputs for name in one.names],
            [name for one in frame.outputs for name in one.names],
            sorted(self._redact) or "anything left out",
        )
