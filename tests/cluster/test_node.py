"""The node itself: what the other tests here stand on."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import node as nodes
from tests.support.node import ROOT, Node, addons, connects, images, remains
from tests.support.node.addresses import Addresses
from tests.support.waiting import eventually

WEB = ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/"]


@pytest.fixture(scope="module")
def web(own_node: Node) -> Iterator[str]:
    """A namespace with a web server behind a Service; gives the Service's address."""
    shell = {"/bin/busybox": addons.busybox_file(), "/index.html": Path(__file__)}
    image = images.push(own_node.registry, "web", shell, WEB)
    labels = {"app": "web"}
    container = {"name": "web", "image": image, "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "web"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]
    own_node.kubectl("apply", "-f", "-", document=documents)
    own_node.kubectl("-n", "web", "rollout", "status", "deployment/web", "--timeout=60s")
    address = own_node.kubectl("-n", "web", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    eventually(lambda: connects(address, 80), what="the web server's Service")
    yield address
    own_node.kubectl("delete", "namespace", "web", "--wait=false")


def test_two_pods_answer_behind_a_service(web: str) -> None:
    assert httpx.get(f"http://{web}/index.html").status_code == 200


def test_pods_find_services_by_name(own_node: Node, web: str) -> None:
    answer = own_node.kubectl(
        "-n", "web", "exec", "deploy/web", "--", "/bin/busybox", "nslookup", "web.web.svc.cluster.local"
    )
    assert web in answer


def test_nothing_leaves_the_machine(own_node: Node, web: str) -> None:
    with pytest.raises(AssertionError, match="timed out"):
        _connect(own_node, "192.0.2.1")


def test_a_network_policy_is_enforced(own_node: Node, web: str) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": "web"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    _connect(own_node, web)
    own_node.kubectl("apply", "-f", "-", document=policy)

    def is_closed() -> bool:
        try:
            _connect(own_node, web)
        except AssertionError:
            return True
        return False

    eventually(is_closed, seconds=20)
    own_node.kubectl("-n", "web", "delete", "networkpolicy", "closed")
    eventually(lambda: not is_closed(), seconds=20)


def _connect(own_node: Node, address: str) -> None:
    """From a pod."""
    own_node.kubectl("-n", "web", "exec", "deploy/web", "--", "/bin/busybox", "nc", "-w", "1", address, "80")


def test_a_claim_gets_a_volume_and_its_deletion_removes_it(own_node: Node, web: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "web"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    image = own_node.kubectl("-n", "web", "get", "deploy", "web", "-o", "jsonpath={..image}")
    container = {
        "name": "writer",
        "image": image,
        "command": ["/bin/busybox", "touch", "/data/written"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "writer", "namespace": "web"},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    own_node.kubectl("apply", "-f", "-", document=[claim, pod])
    own_node.kubectl("-n", "web", "wait", "pod/writer", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    (written,) = (own_node.folder / "volumes").rglob("written")
    own_node.kubectl("-n", "web", "delete", "pod/writer", "pvc/data")
    eventually(lambda: not written.parent.exists(), seconds=30)


def test_metrics_are_there(own_node: Node) -> None:
    def usage() -> list[object]:
        return list(json.loads(own_node.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))["items"])

    eventually(usage, seconds=60, what="the node's usage", but=(AssertionError,))


def test_a_killed_node_leaves_nothing() -> None:
    begun = _begin()
    assert remains.groups(begun.number)
    begun.process.send_signal(signal.SIGKILL)
    begun.process.wait()
    eventually(lambda: not begun.folder.exists(), seconds=60, what="the end of its folder")
    assert not _processes(begun.folder)
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(begun.folder) in line]
    assert begun.interface not in _interfaces()
    assert remains.groups(begun.number) == []


def test_what_a_node_left_whose_cleaner_was_killed_too_is_removed() -> None:
    """Made here by hand, and removed as each start does it first."""
    with nodes.free_number() as (number, _):
        remains.remove(number)
        interface = Addresses(number).interface
        (remains.folder(number) / "etcd").mkdir(parents=True)
        nodes.make_cgroups(number)
        for group in remains.groups(number):
            (group / "kubepods").mkdir()
        subprocess.run(["ip", "link", "add", interface, "type", "veth", "peer", "name", f"{interface}p"], check=True)
        assert interface in _interfaces()
        remains.remove(number)
        assert interface not in _interfaces()
        assert not remains.folder(number).exists()
        assert remains.groups(number) == []


def _interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


class _Begun:
    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.number = int(folder.name.rpartition("-")[2])
        self.interface = Addresses(self.number).interface


def _begin() -> _Begun:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.node"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("export KUBECONFIG="), line
    return _Begun(process, Path(line.strip().partition("=")[2]).parent)


def _processes(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found
