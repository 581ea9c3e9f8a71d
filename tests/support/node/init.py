"""The first process of the node: in namespaces of its own, it sets up the network, starts the servers, and reaps.

When it dies, however it dies, the kernel ends every process of the node, pods included, and drops the mounts, network
interfaces and routes with the namespaces they are in. Run by `tests.support.node`, as

    python -m tests.support.node.init FOLDER NUMBER REGISTRY_DATA
"""

import ctypes
import os
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.support.node.addresses import Addresses
from tests.support.node.servers import Layout, Server

READY_SECONDS = 60
CLONE_NEWNS = 0x00020000


class Init:
    """Starts the servers and keeps the ones that are wanted.

    Args:
        layout: The node's files.
        servers: What to run.
    """

    def __init__(self, layout: Layout, servers: list[Server]) -> None:
        self._layout = layout
        self._servers = {server.name: server for server in servers}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start_all(self) -> None:
        """Start every server, each after those before it that can be asked are ready."""
        for server in self._servers.values():
            self._start(server)

    def _wait(self, server: Server, address: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(address):
            self._reap()
            if server.name not in self._running:
                sys.exit(f"{server.name} ended: {self._last_lines(server.name)}")
            if time.monotonic() > deadline:
                sys.exit(f"{server.name} wasn't ready after {READY_SECONDS} s: {self._last_lines(server.name)}")
            time.sleep(0.05)

    def serve(self, commands: int, answers: int) -> None:
        """Carry out commands until nobody can send any more; a line each, `VERB SERVER`, answered by `done`.

        `kill` ends a server as a crash does and leaves it dead, `start` starts it and waits until it is ready, `stop`
        lets it end by itself.
        """
        rest = b""
        while True:
            readable, _, _ = select.select([commands], [], [], 0.5)
            self._reap()
            if not readable:
                continue
            received = os.read(commands, 4096)
            if not received:
                return
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                verb, name = line.decode().split()
                self._carry_out(verb, name)
                os.write(answers, b"done\n")

    def _carry_out(self, verb: str, name: str) -> None:
        if verb == "start":
            self._start(self._servers[name])
        elif process := self._running.get(name):
            process.send_signal(signal.SIGKILL if verb == "kill" else signal.SIGTERM)
            process.wait()

    def _start(self, server: Server) -> None:
        with (self._layout.logs / f"{server.name}.log").open("ab") as log:
            self._running[server.name] = subprocess.Popen(
                server.command,
                env={**os.environ, **server.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if server.ready:
            self._wait(server, server.ready)

    def _reap(self) -> None:
        """Take leave of the dead: the servers, and what containers left to the first process."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                del self._running[name]
        own = {process.pid for process in self._running.values()}
        with suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in own:
                    return
                os.waitpid(found.si_pid, 0)

    def _last_lines(self, name: str) -> str:
        return "\n".join((self._layout.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:])


def set_up_mounts(layout: Layout) -> None:
    """A /run of the node's own, and no name server but the cluster's: none of it is seen outside."""
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/run/netns").mkdir()
    _run("mount", "--bind", str(layout.config / "resolv.conf"), "/etc/resolv.conf")
    _run("mount", "--make-rshared", "/")  # what kubelet mounts has to be seen by containers


def set_up_network(addresses: Addresses) -> None:
    """Give the node its end of the link, and a default route into an empty bridge: nothing leaves the machine."""
    _run("ip", "link", "set", "lo", "up")
    deadline = time.monotonic() + 10
    while not Path("/proc/self/net/dev").read_text().count("eth0:"):
        assert time.monotonic() < deadline, "nobody gave the node its end of the link"
        time.sleep(0.01)
    _run("ip", "address", "add", f"{addresses.node}/{addresses.link.prefixlen}", "dev", "eth0")
    _run("ip", "link", "set", "eth0", "up")
    _run("ip", "link", "add", "nowhere", "type", "bridge")
    _run("ip", "link", "set", "nowhere", "up")
    _run("ip", "route", "add", "default", "dev", "nowhere")
    for path, value in {"ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"}.items():
        with suppress(FileNotFoundError):
            Path("/proc/sys/net", path).write_text(value)


def _answers(url: str) -> bool:
    context = ssl._create_unverified_context()  # whether it is up; who it is doesn't matter to itself
    try:
        with urllib.request.urlopen(url, timeout=1, context=context) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    folder, number, registry_data = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not a moment longer than who started it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    layout = Layout(folder, Addresses(number))
    set_up_mounts(layout)
    set_up_network(layout.addresses)
    init = Init(layout, layout.servers(registry_data))
    init.start_all()
    print("ready", flush=True)
    init.serve(sys.stdin.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
