"""The server's side of the spool folder: which segment is written, until when, and how much there may be."""

import contextlib
import secrets
import time
from collections.abc import Sequence

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.segments import OpenSegment, SegmentName
from modelyard.serving.payloads.settings import MIB, PayloadSettings

_LOOK_SECONDS = 0.5


class SpoolFull(Exception):
    """The spool folder holds what it may."""


class Spool:
    """Appends frames to segments, and closes each in time. For one thread.

    Args:
        settings: Of the payload log.
    """

    def __init__(self, settings: PayloadSettings) -> None:
        self._settings = settings
        self._writer = secrets.token_hex(4)
        self._number = 0
        self._open: OpenSegment | None = None
        self._limit = settings.max_spool_mib * MIB
        self._used = 0
        self._looked = float("-inf")

    def append(self, pieces: Sequence[bytes | memoryview], rows: int) -> bool:
        """Write a frame; True: that has closed a segment.

        Raises:
            SpoolFull: nothing was written.
            OSError: nothing was written, the disk is full or broken.
        """
        length = sum(len(piece) for piece in pieces)
        if self._size() + length > self._limit:
            raise SpoolFull
        if self._open is None:
            self._number += 1
            name = SegmentName(time.time_ns(), self._writer, self._number)
            self._open = OpenSegment(self._settings.spool, name)
        self._open.append(pieces, rows)
        self._used += length
        is_large = self._open.size >= self._settings.max_segment_mib * MIB
        return self.close() if is_large or self._open.rows >= self._settings.max_rows else False

    def close_if_due(self) -> bool:
        """Close the segment if it is as old as it may get; True: it was."""
        return self.close() if self.seconds_left() == 0 else False

    def close(self) -> bool:
        """Close the segment, so that the writer can have it; False: there is none."""
        if self._open is None:
            return False
        segment, self._open = self._open, None
        segment.close()
        if not segment.size:
            with contextlib.suppress(FileNotFoundError):
                segment.path.unlink()
        return True

    def seconds_left(self) -> float | None:
        """Until the segment has to be closed; None: there is none."""
        if self._open is None:
            return None
        return max(0.0, self._open.opened + self._settings.max_seconds - time.monotonic())

    def _size(self) -> int:
        """What the folder holds, others' segments too; looked at now and then, and what was written since is added."""
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._used = segments.use(self._settings.spool).size
        return self._used
