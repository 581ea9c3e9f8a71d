"""What a PostgreSQL that was killed leaves outside of its folder."""

import ctypes
from pathlib import Path

IPC_RMID = 0
SHARED_MEMORY_LINE = 7  # of postmaster.pid: the key and the id of its System V segment


def release_shared_memory(data: Path) -> None:
    """Remove the small shared-memory segment that a server keeps as a lock on its data folder.

    A server that ends by itself does so too; after `kill -9` the segment would stay until a reboot.

    Args:
        data: The data folder of a server that does not run.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        identifier = int(lines[SHARED_MEMORY_LINE - 1].split()[1])
    except (OSError, IndexError, ValueError):
        return
    ctypes.CDLL(None, use_errno=True).shmctl(identifier, IPC_RMID, None)
