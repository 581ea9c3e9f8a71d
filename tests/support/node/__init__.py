"""A real one-node Kubernetes: API server, scheduler, kubelet, containerd, pods.

It lives in process, mount and network namespaces of its own, and dies with the process that started it, even one that
is killed. Needs root, Linux, and the programs that `tools/get.py --for-tests` gets.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.clusters import Cluster
from tests.support.node import addons, remains
from tests.support.node.addresses import Addresses
from tests.support.node.servers import NODE, Layout
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]


class Node(Cluster):
    """One running node."""

    def __init__(self, folder: Path, addresses: Addresses, process: "subprocess.Popen[str]") -> None:
        super().__init__(folder / "kubeconfig", addresses.registry, folder)
        self.addresses = addresses
        self._process = process

    def kill(self, server: str) -> None:
        """End one of the node's servers as a crash does; it stays dead until it is started."""
        self._command(f"kill {server}")

    def start(self, server: str) -> None:
        """Start a server that was killed; it is ready afterwards."""
        self._command(f"start {server}")

    def has_asked(self, namespace: str) -> bool:
        """Whether the kubelet has asked each pod of a namespace if it is ready, since it was started last.

        Until then it calls them unready, however well they are (Kubernetes before 1.35).
        """
        pods = json.loads(self.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
        wanted = {
            pod["metadata"]["name"]
            for pod in pods
            if any("readinessProbe" in container for container in pod["spec"]["containers"])
        }
        counts = self.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics/probes").splitlines()
        asked = [
            dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in counts if line.startswith("prober_probe_total{")
        ]
        return wanted <= {
            one["pod"]
            for one in asked
            if (one["namespace"], one["probe_type"], one["result"]) == (namespace, "Readiness", "successful")
        }

    def log(self, server: str) -> str:
        """What a server has logged."""
        return (self.folder / "logs" / f"{server}.log").read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait for the servers.

        Raises:
            AssertionError: one of them didn't start; says what it logged.
        """
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(f"the node did not start: {(self.folder / 'init.log').read_text()}")

    def _command(self, line: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", f"the node ended: {self._process.poll()}"


def missing() -> str | None:
    """Why this machine can't have a node; None if it can."""
    if sys.platform != "linux":
        return f"a node needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "a node needs root: namespaces, mounts, a network"
    programs = ("kube-apiserver", "containerd", "coredns", "kube-router", "registry", "ip", "unshare")
    absent = [program for program in programs if shutil.which(program) is None]
    return f"{', '.join(absent)} could not be had: `python3 tools/get.py --for-tests` says why" if absent else None


@contextmanager
def started(cache: Path) -> Iterator[Node]:
    """Run a node; it is gone afterwards, and so is all that a killed one left.

    Args:
        cache: Where images are kept from one run to the next.
    """
    with free_number() as (number, lock):
        remains.remove(number)
        process = cleaner = None
        try:
            layout = Layout(remains.folder(number), Addresses(number))
            layout.folder.mkdir(mode=0o700)
            make_cgroups(number)
            layout.write()
            process = _launch(layout.folder, number, cache)
            first = _only_child(process.pid)
            cleaner = _cleaner(number, first, lock)
            node = Node(layout.folder, layout.addresses, process)
            _set_up(node, layout, first)
            yield node
        finally:
            if process:
                process.kill()
                process.wait()
            if cleaner:
                cleaner.wait()
            remains.remove(number)  # also where it didn't come to a cleaner


def _set_up(node: Node, layout: Layout, first: int) -> None:
    _link(layout.addresses, first)
    node.wait_until_ready()
    node.kubectl("apply", "--server-side", "-f", "-", document=addons.documents(layout))
    node.kubectl("-n", addons.SYSTEM, "wait", "deployment/coredns", "--for=condition=Available", "--timeout=60s")
    eventually(lambda: connects(layout.addresses.dns, 53), seconds=10, what="the cluster's name server")


@contextmanager
def free_number() -> Iterator[tuple[int, int]]:
    """A number that no other node of this machine has, and the descriptor that holds it: also while remains are."""
    for number in range(16):
        with Path(f"/run/lock/modelyard-test-node-{number}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number, lock.fileno()
            return
    raise AssertionError("sixteen nodes run on this machine already")


def _launch(folder: Path, number: int, cache: Path) -> "subprocess.Popen[str]":
    """Start the node's first process; it waits for its end of the link."""
    cache.mkdir(parents=True, exist_ok=True)
    namespaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
    first = [sys.executable, "-m", "tests.support.node.init", str(folder), str(number), str(cache)]
    with (folder / "init.log").open("w") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *first],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,
        )


def _cleaner(number: int, first: int, lock: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(Path(remains.__file__)), str(number), str(first)]
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True, pass_fds=[lock]
    )


def _link(addresses: Addresses, first: int) -> None:
    """Join this machine and the node. The routes come first: nothing for the cluster may go elsewhere, ever."""
    name = addresses.interface
    commands = [
        ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(first)],
        ["ip", "address", "add", f"{addresses.host}/{addresses.link.prefixlen}", "dev", name],
        ["ip", "link", "set", name, "up"],
        *(["ip", "route", "add", str(net), "via", addresses.node] for net in (addresses.pods, addresses.services)),
    ]
    for command in commands:
        subprocess.run(command, check=True)


def _only_child(pid: int) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and _in_other_network(int(children[0])):
                return int(children[0])
        time.sleep(0.01)
    raise AssertionError("the node's first process did not start")


def _in_other_network(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    return False


def connects(address: str, port: int) -> bool:
    """Whether something listens there, as seen from this machine."""
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def make_cgroups(number: int) -> None:
    """Make the control group that kubelet puts its pods below, in every hierarchy there is."""
    unified = (remains.CGROUPS / "cgroup.controllers").exists()
    for hierarchy in [remains.CGROUPS] if unified else [path for path in remains.CGROUPS.iterdir() if path.is_dir()]:
        folder = hierarchy / remains.cgroup(number)
        folder.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # a new group has none of either, and nothing could run in it
            if (folder / name).exists() and not unified:
                (folder / name).write_text((hierarchy / name).read_text())
