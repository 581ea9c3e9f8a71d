"""What runs on the node: each server's command line and the files it reads.

The settings that this sort of machine asks for (no CAP_SYS_RESOURCE, cgroup v1, no way out of the network namespace)
are marked with why.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.node.addresses import Addresses
from tests.support.node.certificates import Authority, write_key
from tests.support.node.remains import cgroup

NODE = "node"


@dataclass(frozen=True)
class Server:
    """One server of the node.

    Attributes:
        ready: An address that answers 200 once it is ready; None: nobody waits for it.
    """

    name: str
    command: tuple[str, ...]
    ready: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Layout:
    """The node's files.

    Args:
        folder: Of this node; everything in it is the node's.
        addresses: The cluster's.
    """

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        self.folder = folder
        self.addresses = addresses
        self.pki = folder / "pki"
        self.config = folder / "config"
        self.logs = folder / "logs"
        self.admin = folder / "kubeconfig"

    def write(self) -> None:
        """Write certificates, kubeconfigs and configuration files."""
        for place in (self.pki, self.config, self.logs):
            place.mkdir(parents=True, exist_ok=True)
        self._write_certificates()
        self._write_kubelet()
        self._write_containerd()
        self._write_cni()
        self._write("proxy.yaml", self._proxy())
        self._write("registry.yaml", self._registry())
        (self.config / "resolv.conf").write_text(f"nameserver {self.addresses.dns}\n")

    def servers(self, registry_data: Path) -> list[Server]:
        """All of them, in the order in which they are started.

        Args:
            registry_data: Where the image registry keeps what it has; may be shared by runs.
        """
        node = self.addresses.node
        registry = Server(
            "registry",
            (_program("registry"), "serve", str(self.config / "registry.yaml")),
            ready=f"http://{self.addresses.registry}/v2/",
            environment={
                "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(registry_data),
                "OTEL_TRACES_EXPORTER": "none",
            },
        )
        return [
            Server("containerd", (_program("containerd"), "--config", str(self.config / "containerd.toml"))),
            registry,
            self._etcd(),
            self._api_server(),
            self._controller_manager(),
            Server(
                "kube-scheduler",
                (_program("kube-scheduler"), *self._kubeconfigs("scheduler"), "--leader-elect=false"),
            ),
            Server(
                "kubelet",
                (
                    _program("kubelet"),
                    *(f"--config={self.config}/kubelet.yaml", f"--kubeconfig={self.config}/kubelet.kubeconfig"),
                    *(f"--root-dir={self.folder}/kubelet", f"--cert-dir={self.folder}/kubelet/pki"),
                    *(f"--hostname-override={NODE}", f"--node-ip={node}"),
                ),
                ready="http://127.0.0.1:10248/healthz",
            ),
            Server("kube-proxy", (_program("kube-proxy"), f"--config={self.config}/proxy.yaml")),
            Server(
                "kube-router",  # the firewall alone: it enforces NetworkPolicies
                (
                    _program("kube-router"),
                    *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false"),
                    *(f"--kubeconfig={self.config}/admin.kubeconfig", f"--hostname-override={NODE}"),
                    *(f"--service-cluster-ip-range={self.addresses.services}", "--iptables-sync-period=5m"),
                ),
            ),
        ]

    def _write_certificates(self) -> None:
        addresses = self.addresses
        authority = Authority(self.pki, "ca")
        authority.issue(
            "apiserver",
            common_name="kube-apiserver",
            hosts=[
                *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1"),
                *(addresses.node, addresses.api_service),
            ],
        )
        authority.issue("kubelet-server", common_name=NODE, hosts=[NODE, addresses.node])
        authority.issue("apiserver-kubelet", common_name="kube-apiserver-kubelet", groups=["system:masters"])
        who = {
            "admin": ("kubernetes-admin", ["system:masters"]),
            "kubelet": (f"system:node:{NODE}", ["system:nodes"]),
            "controller-manager": ("system:kube-controller-manager", []),
            "scheduler": ("system:kube-scheduler", []),
            "proxy": ("system:kube-proxy", []),
        }
        for name, (user, groups) in who.items():
            authority.issue(name, common_name=user, groups=groups)
            self._write(f"{name}.kubeconfig", self._kubeconfig(name))
        self.admin.write_text((self.config / "admin.kubeconfig").read_text())
        Authority(self.pki, "front-proxy-ca").issue("front-proxy", common_name="front-proxy")
        write_key(self.pki / "service-accounts.key")

    def _kubeconfig(self, name: str) -> dict[str, Any]:
        cluster = {"server": self.addresses.api, "certificate-authority": str(self.pki / "ca.crt")}
        user = {"client-certificate": str(self.pki / f"{name}.crt"), "client-key": str(self.pki / f"{name}.key")}
        context = {"cluster": "modelyard-test", "user": name}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "modelyard-test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "modelyard-test", "context": context}],
            "current-context": "modelyard-test",
        }

    def _kubeconfigs(self, name: str) -> list[str]:
        file = self.config / f"{name}.kubeconfig"
        return [f"--{what}={file}" for what in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]

    def _etcd(self) -> Server:
        return Server(
            "etcd",
            (
                _program("etcd"),
                *("--name", "node", "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"),
                *("--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379"),
                *("--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn"),
                *("--initial-advertise-peer-urls", "http://127.0.0.1:2380"),
                *("--initial-cluster", "node=http://127.0.0.1:2380"),
            ),
        )

    def _api_server(self) -> Server:
        pki = self.pki
        return Server(
            "kube-apiserver",
            (
                _program("kube-apiserver"),
                *("--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={self.addresses.node}"),
                *(f"--service-cluster-ip-range={self.addresses.services}", f"--cert-dir={pki}"),
                *(f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key"),
                *(f"--client-ca-file={pki}/ca.crt", "--authorization-mode=Node,RBAC"),
                "--enable-admission-plugins=NodeRestriction",
                "--anonymous-auth=true",  # as everywhere: /livez and /readyz answer without a login, and nothing else
                *(f"--kubelet-certificate-authority={pki}/ca.crt", "--kubelet-preferred-address-types=InternalIP"),
                f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
                f"--kubelet-client-key={pki}/apiserver-kubelet.key",
                *(
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={pki}/service-accounts.key",
                ),
                f"--service-account-signing-key-file={pki}/service-accounts.key",
                *(
                    f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
                    "--requestheader-allowed-names=front-proxy",
                ),
                *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                *(f"--proxy-client-cert-file={pki}/front-proxy.crt", f"--proxy-client-key-file={pki}/front-proxy.key"),
                "--enable-aggregator-routing=true",
            ),
            ready="https://127.0.0.1:6443/readyz",
        )

    def _controller_manager(self) -> Server:
        pki = self.pki
        return Server(
            "kube-controller-manager",
            (
                _program("kube-controller-manager"),
                *self._kubeconfigs("controller-manager"),
                *("--leader-elect=false", "--use-service-account-credentials=true", f"--root-ca-file={pki}/ca.crt"),
                f"--service-account-private-key-file={pki}/service-accounts.key",
                *(f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key"),
                *("--allocate-node-cidrs=true", f"--cluster-cidr={self.addresses.pods}", "--node-cidr-mask-size=24"),
                f"--service-cluster-ip-range={self.addresses.services}",
            ),
        )

    def _write_kubelet(self) -> None:
        certificate = {
            "tlsCertFile": f"{self.pki}/kubelet-server.crt",
            "tlsPrivateKeyFile": f"{self.pki}/kubelet-server.key",
        }
        document = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            **certificate,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [self.addresses.dns],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroup(self.addresses.number)}",
            "enforceNodeAllocatable": [],  # the node's own cgroup is not ours to limit
            "failCgroupV1": False,
            "failSwapOn": False,
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,  # the machine's disk may be full of other things
            "resolvConf": str(self.config / "resolv.conf"),
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "syncFrequency": "10s",
            "fileCheckFrequency": "0s",
            "shutdownGracePeriod": "0s",
            "maxPods": 120,
        }
        self._write("kubelet.yaml", document)

    @property
    def socket(self) -> Path:
        """containerd's: in the node's own /run, where a path is short enough for one."""
        return Path("/run/containerd/containerd.sock")

    def _write_containerd(self) -> None:
        programs = Path(_program("ptp")).parent
        (self.config / "containerd.toml").write_text(
            f"""version = 2
root = "{self.folder}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{self.addresses.registry}/pause:1"
restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE no process may be made less killable
enable_unprivileged_ports = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{programs}"
conf_dir = "{self.config}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{self.config}/registries"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""
        )
        hosts = self.config / "registries" / self.addresses.registry
        hosts.mkdir(parents=True, exist_ok=True)
        address = f"http://{self.addresses.registry}"
        (hosts / "hosts.toml").write_text(
            f'server = "{address}"\n[host."{address}"]\ncapabilities = ["pull", "resolve"]\n'
        )

    def _write_cni(self) -> None:
        point_to_point = {  # not a bridge: all that pods say to each other then passes the firewall
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(self.addresses.pods)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": "/run/cni",
            },
        }
        (self.config / "cni").mkdir(exist_ok=True)
        plugins = [point_to_point, {"type": "portmap", "capabilities": {"portMappings": True}}]
        document = {"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}
        (self.config / "cni" / "10-pods.conflist").write_text(json.dumps(document))

    def _proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.config / "proxy.kubeconfig")},
            "mode": "iptables",
            "hostnameOverride": NODE,
            "clusterCIDR": str(self.addresses.pods),
            "conntrack": {"maxPerCore": 0},  # not the node's to set
            "iptables": {"minSyncPeriod": "0.1s"},
        }

    def _registry(self) -> dict[str, Any]:
        return {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": "/nowhere"}, "delete": {"enabled": True}},
            "http": {"addr": self.addresses.registry},
        }

    def _write(self, name: str, document: dict[str, Any]) -> None:
        (self.config / name).write_text(yaml.safe_dump(document, sort_keys=False))


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not on PATH: `make test` gets it, or says why it can't"
    return found
