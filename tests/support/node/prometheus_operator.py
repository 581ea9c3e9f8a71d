"""The Prometheus operator in the node, and one Prometheus of its own: what `external` monitoring hands things to."""

import shutil
from pathlib import Path
from typing import Any

from tests.support.clusters import Cluster
from tests.support.node import images
from tests.support.node.addons import account, binary, rule

NAMESPACE = "observability"
NAME = "prometheus-operator"
LABELS = {"release": "test"}
Document = dict[str, Any]


def missing() -> str | None:
    """Why there can't be one here; None if there can."""
    if shutil.which("operator") is None or not _definitions():
        return f"{NAME} could not be had: `python3 tools/get.py --for-tests` says why"
    return None


def _definitions() -> list[Path]:
    program = shutil.which("operator")
    return sorted((Path(program).parent.parent / "crds").glob("*.yaml")) if program else []


def install_definitions(node: Cluster) -> None:
    """Have its custom resource definitions in the cluster."""
    assert _definitions(), f"the definitions that belong to {NAME} are missing"
    files = [word for file in _definitions() for word in ("-f", str(file))]
    applied = node.kubectl("apply", "--server-side", *files, "-o", "name").split()
    node.kubectl("wait", "--for=condition=Established", "--timeout=30s", *applied)


def install(node: Cluster, prometheus: str) -> None:
    """Have the operator run, and a Prometheus that selects by `LABELS` in every namespace.

    Args:
        prometheus: The image that it runs.
    """
    install_definitions(node)
    operator = images.push(node.registry, NAME, {"/bin/operator": binary("operator")}, ["/bin/operator"])
    reloader = "prometheus-config-reloader"
    reloads = images.push(node.registry, reloader, {f"/bin/{reloader}": binary(reloader)}, [f"/bin/{reloader}"])
    node.kubectl("apply", "--server-side", "-f", "-", document=_objects(operator, reloads, prometheus))
    node.kubectl("-n", NAMESPACE, "wait", f"deployment/{NAME}", "--for=condition=Available", "--timeout=60s")


def _objects(operator: str, reloader: str, prometheus: str) -> list[Document]:
    every = [rule(group, ["*"], ["*"]) for group in ("", "apps", "monitoring.coreos.com", "discovery.k8s.io")]
    every += [rule("networking.k8s.io", ["ingresses"]), rule("storage.k8s.io", ["storageclasses"], ["get"])]
    reads = [rule("", ["pods", "services", "endpoints"]), rule("discovery.k8s.io", ["endpointslices"])]
    labels = {"app": NAME}
    container = {
        "name": NAME,
        "image": operator,
        "args": [f"--prometheus-config-reloader={reloader}", "--config-reloader-cpu-request=10m"],
        "securityContext": {"runAsUser": 65532},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": NAME, "containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }
    selects = {"matchLabels": LABELS}
    watching: Document = {"serviceAccountName": "prometheus", "replicas": 1, "image": prometheus, "version": "v3.5.0"}
    for what in ("serviceMonitor", "podMonitor", "probe", "rule", "scrapeConfig"):
        watching |= {f"{what}Selector": selects, f"{what}NamespaceSelector": {}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *account(NAME, every, namespace=NAMESPACE),
        *account("prometheus", reads, namespace=NAMESPACE),
        deployment,
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": "test", "namespace": NAMESPACE},
            "spec": watching,
        },
    ]
