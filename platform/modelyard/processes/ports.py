"""Who listens on a TCP port of this machine, and which ports are free."""

import random
import socket
from collections.abc import Collection
from dataclasses import dataclass

import psutil

CHOICE = range(20000, 32000)


@dataclass(frozen=True)
class Listener:
    """The process behind a listening port, as far as this user may see it."""

    pid: int | None
    program: str
    user: str

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid}, user {self.user})" if self.pid else "a process of another user"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind the port now (one in TIME_WAIT counts as free, as for servers)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listener(port: int) -> Listener:
    """Who listens on a port that was found in use."""
    for connection in psutil.net_connections(kind="tcp"):
        local = connection.laddr
        if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                return Listener(connection.pid, process.name(), process.username())
            except psutil.Error:
                break
    return Listener(None, "", "")


def any_free_port(avoid: Collection[int] = ()) -> int:
    """A free port outside the kernel's range for outgoing connections, so that none of those takes it.

    Args:
        avoid: Ports that are spoken for.
    """
    # At random, because platforms that start at the same time look at the same time.
    for port in random.sample(CHOICE, len(CHOICE)):
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"no free TCP port between {CHOICE[0]} and {CHOICE[-1]}")
