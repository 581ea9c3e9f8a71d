"""Find processes by a mark in their environment, which survives whatever became of their parents."""

import os

import psutil


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Living processes whose environment says so, this process and its ancestors aside.

    Args:
        variable: Of the environment they were started with.
        value: What it must be.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.pid not in own and lives(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie, which an idle init may leave for seconds, doesn't."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
