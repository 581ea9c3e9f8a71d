"""Segments: the files of a spool folder. Whoever holds a segment's lock has it for itself.

The server locks the one it writes, a writer those that it uploads; the kernel lets go of a killed process's locks. So
any number of servers and writers may share a folder, and what a dead one left belongs to the next writer that looks.
"""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".segment"
SET_ASIDE = ".unreadable"
_NAME = re.compile(rf"(?P<created>\d{{20}})-(?P<writer>[0-9a-f]+)-(?P<number>\d{{6,}})(?:{SUFFIX}|{SET_ASIDE})")
_UNFINISHED_SECONDS = 3600


@dataclass(frozen=True)
class SegmentName:
    """Who began a segment, and when: objects in the store are named after it, so a second upload replaces the first.

    Attributes:
        created_ns: Nanoseconds since 1970.
        writer: Random, one for each server process.
        number: Counts its segments.
    """

    created_ns: int
    writer: str
    number: int

    @property
    def file(self) -> str:
        return f"{self.created_ns:020d}-{self.writer}-{self.number:06d}{SUFFIX}"

    @property
    def stem(self) -> str:
        """What its objects' names begin with."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.created_ns // 1_000_000_000))
        return f"{moment}-{self.writer}-{self.number:06d}"

    @classmethod
    def of(cls, file: str) -> "SegmentName | None":
        """The segment that a file's name means; None: it is none."""
        match = _NAME.fullmatch(file)
        return cls(int(match["created"]), match["writer"], int(match["number"])) if match else None


@dataclass(frozen=True)
class SpoolUse:
    """What a spool folder holds.

    Attributes:
        size: In bytes.
        oldest_ns: When the oldest segment with content was begun, nanoseconds since 1970; None: there is none.
        set_aside: Segments that couldn't be read.
    """

    size: int = 0
    oldest_ns: int | None = None
    set_aside: int = 0


def use(folder: Path) -> SpoolUse:
    """What a spool folder holds now."""
    size, oldest, set_aside = 0, None, 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = SegmentName.of(entry.name)
                length = _size(entry) if name else 0
                if name is None or not length:
                    continue
                size += length
                if entry.name.endswith(SET_ASIDE):
                    set_aside += 1
                elif oldest is None or name.created_ns < oldest:
                    oldest = name.created_ns
    except OSError:
        pass  # it isn't there yet, or never will be: whoever writes to it finds out
    return SpoolUse(size, oldest, set_aside)


class OpenSegment:
    """A new segment, locked until it is closed.

    Args:
        folder: The spool folder; made if it is missing.
        name: The segment's.

    Raises:
        OSError: the file can't be made.
    """

    def __init__(self, folder: Path, name: SegmentName) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / name.file
        self.opened = time.monotonic()
        self.size = self.rows = 0
        hidden = folder / f".{name.file}.{secrets.token_hex(4)}"
        self._file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self.path)  # only now, so that nobody finds it without its lock
        except OSError:
            os.close(self._file)
            hidden.unlink(missing_ok=True)
            raise

    def append(self, pieces: Sequence[bytes | memoryview], rows: int) -> None:
        """Write a frame, all of it or nothing.

        Raises:
            OSError: the disk is full or broken.
        """
        length = sum(len(piece) for piece in pieces)
        try:
            written = os.writev(self._file, pieces)
            if written < length:
                rest = memoryview(b"".join(pieces))
                while written < length:
                    written += os.write(self._file, rest[written:])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += length
        self.rows += rows

    def close(self) -> None:
        """Leave it to the writer."""
        fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough where a model has forked: its child holds it too
        os.close(self._file)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a segment's lock; False: somebody else has it, or it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.fstat(file).st_ino == path.stat().st_ino  # not what another writer has just deleted
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        yield is_there
    finally:
        os.close(file)


def waiting(folder: Path) -> list[Path]:
    """The segments of a spool folder, the oldest first, those in use among them."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if SegmentName.of(path.name))


def sweep(folder: Path) -> None:
    """Delete what processes left that were killed while they made a segment; such files are empty."""
    for path in folder.glob(f".*{SUFFIX}.*"):
        try:
            if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0
