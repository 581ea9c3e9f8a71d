"""Removes what the kernel doesn't when a node ends: its control groups, its link, its folder.

Run beside each node as a program of its own, outside the node's namespaces and apart from who started it, so that it
also cleans up after a kill. Its arguments: the node's number, and the process id of the node's first process.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support.node.addresses import Addresses

CGROUPS = Path("/sys/fs/cgroup")


def folder(number: int) -> Path:
    """Where a node has its files."""
    return Path(tempfile.gettempdir()) / f"modelyard-test-node-{number}"


def cgroup(number: int) -> str:
    """The control group that all pods of a node are below."""
    return f"modelyard-test-node-{number}"


def groups(number: int) -> list[Path]:
    """That group, as far as it is there: one, or one in each of cgroup v1's hierarchies."""
    return [*CGROUPS.glob(cgroup(number)), *CGROUPS.glob(f"*/{cgroup(number)}")]


def remove(number: int) -> None:
    """Remove all that a node that has ended left; nothing happens if there is nothing."""
    subprocess.run(["ip", "link", "delete", Addresses(number).interface], capture_output=True)
    for top in groups(number):
        _remove_groups(top)
    shutil.rmtree(folder(number), ignore_errors=True)


def _remove_groups(top: Path) -> None:
    """Deepest first; their last processes may take a moment to go."""
    deadline = time.monotonic() + 10
    for group in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
        while group.exists() and time.monotonic() < deadline:
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.05)


def main() -> None:
    number, first = int(sys.argv[1]), int(sys.argv[2])
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(first)], [], [])
    remove(number)


if __name__ == "__main__":
    main()
