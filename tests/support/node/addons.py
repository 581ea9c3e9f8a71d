"""What every cluster has besides Kubernetes itself: names, metrics, volumes. As pods, with rights of their own."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.node import images
from tests.support.node.servers import Layout

SYSTEM = "kube-system"
Document = dict[str, Any]


def documents(layout: Layout) -> list[Document]:
    """What to apply; the images it names are in the node's registry then."""
    registry = layout.addresses.registry
    images.push(registry, "pause", {"/bin/busybox": busybox_file()}, ["/bin/busybox", "sleep", "2000000000"], tag="1")
    coredns, metrics, storage = (
        images.push(registry, name, {f"/bin/{name}": binary(name)}, [f"/bin/{name}"])
        for name in ("coredns", "metrics-server", "local-path-provisioner")
    )
    busybox = images.push(registry, "busybox", {"/bin/busybox": busybox_file(), "/bin/sh": busybox_file()}, ["/bin/sh"])
    volumes = layout.folder / "volumes"
    return [*_dns(layout, coredns), *_metrics(layout, metrics), *_storage(volumes, storage, busybox)]


def busybox_file() -> Path:
    """A static busybox: the sandbox of every pod, and the shell of the volume provisioner."""
    place = Path(binary("containerd")).parent.parent / "root"
    return next(path for path in place.rglob("bin/busybox"))


def binary(name: str) -> Path:
    found = shutil.which(name)
    assert found, f"{name} is not on PATH"
    return Path(found)


def account(
    name: str, rules: list[Document], cluster_roles: Sequence[str] = (), *, namespace: str = SYSTEM
) -> list[Document]:
    """A service account with a role over the whole cluster."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    rbac = "rbac.authorization.k8s.io/v1"
    documents: list[Document] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": f"test:{name}"}, "rules": rules},
    ]
    for role in (f"test:{name}", *cluster_roles):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        metadata = {"name": f"{name}:{role}"}
        documents.append(
            {
                "apiVersion": rbac,
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": reference,
                "subjects": [subject],
            }
        )
    return documents


def rule(group: str, resources: Sequence[str], verbs: Sequence[str] = ("get", "list", "watch")) -> Document:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _deployment(
    name: str, label: str, image: str, arguments: Sequence[str], ready: Document, config: bool = False
) -> Document:
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {}}]
    if config:
        mounts.append({"name": "config", "mountPath": "/config"})
        volumes.append({"name": "config", "configMap": {"name": name}})
    probe = {"readinessProbe": {**ready, "periodSeconds": 1}} if ready else {}
    container = {
        "name": name,
        "image": image,
        "args": list(arguments),
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "20m", "memory": "30Mi"}},
        **probe,
    }
    spec = {
        "serviceAccountName": name,
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": volumes,
        "terminationGracePeriodSeconds": 1,
    }
    labels = {"k8s-app": label}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def _service(name: str, label: str, ports: list[Document], address: str | None = None) -> Document:
    spec = {"selector": {"k8s-app": label}, "ports": ports} | ({"clusterIP": address} if address else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SYSTEM}, "spec": spec}


def _config_map(name: str, data: dict[str, str]) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SYSTEM}, "data": data}


def _dns(layout: Layout, image: str) -> list[Document]:
    corefile = (
        ".:8053 {\n errors\n ready :8181\n kubernetes cluster.local in-addr.arpa {\n  pods insecure\n }\n"
        " cache 5\n reload\n}\n"
    )
    ports = [{"name": what, "port": 53, "targetPort": 8053, "protocol": what.upper()} for what in ("udp", "tcp")]
    ready = {"httpGet": {"path": "/ready", "port": 8181}}
    return [
        *account(
            "coredns",
            [rule("", ["endpoints", "services", "pods", "namespaces"]), rule("discovery.k8s.io", ["endpointslices"])],
        ),
        _config_map("coredns", {"Corefile": corefile}),
        _deployment("coredns", "kube-dns", image, ["-conf", "/config/Corefile"], ready, config=True),
        _service("kube-dns", "kube-dns", ports, layout.addresses.dns),
    ]


def _metrics(layout: Layout, image: str) -> list[Document]:
    arguments = [
        "--secure-port=10250",
        "--cert-dir=/tmp",
        "--kubelet-insecure-tls",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]
    ready = {"httpGet": {"path": "/livez", "port": 10250, "scheme": "HTTPS"}}
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "service": {"name": "metrics-server", "namespace": SYSTEM},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    reader = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "metrics-server-auth-reader", "namespace": SYSTEM},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "extension-apiserver-authentication-reader",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "metrics-server", "namespace": SYSTEM}],
    }
    return [
        *account(
            "metrics-server",
            [rule("", ["pods", "nodes"]), rule("", ["nodes/metrics"], ["get"])],
            ["system:auth-delegator"],
        ),
        reader,
        _deployment("metrics-server", "metrics-server", image, arguments, ready),
        _service("metrics-server", "metrics-server", [{"port": 443, "targetPort": 10250}]),
        api_service,
    ]


def _storage(volumes: Path, image: str, busybox: str) -> list[Document]:
    paths = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(volumes)]}]}
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"containers": [{"name": "helper-pod", "image": busybox, "securityContext": {"runAsUser": 0}}]},
    }
    config = {
        "config.json": json.dumps(paths),
        "setup": '/bin/busybox mkdir -m 0777 -p "$VOL_DIR"\n',
        "teardown": '/bin/busybox rm -rf "$VOL_DIR"\n',
        "helperPod.yaml": json.dumps(helper),
    }
    rules = [
        rule("", ["nodes", "persistentvolumeclaims", "configmaps", "pods/log"]),
        rule("", ["persistentvolumes", "pods", "events", "endpoints"], ["*"]),
        rule("storage.k8s.io", ["storageclasses"]),
    ]
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
    deployment = _deployment(
        "local-path-provisioner",
        "local-path-provisioner",
        image,
        [
            "start",
            "--service-account-name=local-path-provisioner",
            "--config=/config/config.json",
            "--configmap-name=local-path-provisioner",
            f"--helper-image={busybox}",
        ],
        {},
        config=True,
    )
    environment = [
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "CONFIG_MOUNT_PATH", "value": "/config/"},
    ]
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = environment
    return [
        *account("local-path-provisioner", rules),
        _config_map("local-path-provisioner", config),
        storage_class,
        deployment,
    ]
