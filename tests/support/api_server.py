"""A real Kubernetes API server with its etcd and its controllers, and no node: objects are stored, pods never run.

Listens on loopback only, keeps everything in one folder, and dies with the process that started it, even a killed one.
"""

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import socket
from typing import Self

import httpx
import yaml

from modelyard_infra.programs import program
from tests.support.node.certificates import Authority, write_key
from tests.support.waiting import eventually

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_CONTEXT = "modelyard-test"

# Makes a server die with this process, however that ends, then becomes the server.
_LAUNCHER = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)


class ApiServer:
    """One running API server.

    Attributes:
        url: Its address.
        kubeconfig: Of an administrator, who may do everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._port, self._etcd_port, self._peer_port = free_ports(3)
        self.url = f"https://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Self]:
        """A server that is ready, and gone afterwards.

        Args:
            folder: Gets certificates, data and logs.
        """
        server = cls(folder)
        server._write_identities()
        with ExitStack() as stack:
            stack.enter_context(server._running("etcd", *server._etcd()))
            stack.callback(server.stop)
            server.start()
            with server.client() as client:
                stack.enter_context(server._running("kube-controller-manager", *server._controllers()))
                eventually(
                    lambda: client.get("/api/v1/namespaces/default/serviceaccounts/default").is_success,
                    what="the controllers' first work",
                )
            yield server

    def start(self) -> None:
        """Start the API server on the data that is there, and wait until it is ready.

        From a thread that lives as long as the server is to: the kernel takes the thread's end for the parent's.
        """
        self._process = self._launch("kube-apiserver", *self._api_server())
        eventually(self._is_ready, seconds=60, what=f"the API server, see {self.folder}/kube-apiserver.log,")

    def stop(self) -> None:
        """Kill the API server, as a crash would; etcd and the controllers go on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> httpx.Client:
        """A client with an administrator's certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=30)

    def _is_ready(self) -> bool:
        assert self._process, "stopped"
        assert self._process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        with suppress(httpx.TransportError), self.client() as client:
            return client.get("/readyz").is_success
        return False

    @contextmanager
    def _running(self, name: str, *flags: str) -> Iterator[None]:
        process = self._launch(name, *flags)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _launch(self, name: str, *flags: str) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), program(name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([*launcher, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _write_identities(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(self.folder, "ca")
        hosts = ["localhost", "127.0.0.1", "kubernetes.default.svc"]
        authority.issue("server", common_name="kube-apiserver", hosts=hosts)
        authority.issue("admin", common_name="admin", groups=["system:masters"])
        write_key(self.folder / "service-accounts.key")
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}
        user = {"client-certificate": str(self.folder / "admin.crt"), "client-key": str(self.folder / "admin.key")}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _CONTEXT, "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": "admin"}}],
            "current-context": _CONTEXT,
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))

    def _etcd(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            *("--name=test", f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync", "--log-level=warn"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}"),
        ]

    def _api_server(self) -> list[str]:
        folder = self.folder
        return [
            *("--bind-address=127.0.0.1", f"--secure-port={self._port}", "--advertise-address=127.0.0.1"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            *(f"--tls-cert-file={folder}/server.crt", f"--tls-private-key-file={folder}/server.key"),
            *(f"--client-ca-file={folder}/ca.crt", f"--cert-dir={folder}", "--anonymous-auth=false"),
            *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/24"),
            *("--service-account-issuer=https://kubernetes.default.svc", "--endpoint-reconciler-type=none"),
            f"--service-account-key-file={folder}/service-accounts.key",
            f"--service-account-signing-key-file={folder}/service-accounts.key",
        ]

    def _controllers(self) -> list[str]:
        return [
            *(f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0"),
            f"--service-account-private-key-file={self.folder}/service-accounts.key",
        ]


def missing() -> str | None:
    """Why no API server can be started on this machine; None if one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"there is no {', '.join(absent)} (`python3 tools/get.py --for-tests`)" if absent else None


def free_ports(count: int) -> list[int]:
    """Numbers of loopback ports that nobody listens on right now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
