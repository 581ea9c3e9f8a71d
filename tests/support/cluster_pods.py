"""Python programs in pods of a platform's namespace."""

import time

from tests.support.cluster_platform import ClusterPlatform
from tests.support.waiting import eventually


def run_pod(platform: ClusterPlatform, references: dict[str, str], code: str, *, uses: str = "") -> str:
    """What a Python program prints in a pod of the platform's namespace."""
    return finished(platform, start_pod(platform, references, code, [], uses=uses), 60)


def start_pod(
    platform: ClusterPlatform, references: dict[str, str], code: str, arguments: list[str], *, uses: str
) -> str:
    """Start one; returns the pod's name. The tracking server's admin's password is below /run/secrets/admin, if any.

    Args:
        uses: The part whose pods it is let through to; empty: none.
    """
    name = f"client-{time.monotonic_ns() % 10**9}"
    secret = {"secretName": "tracking-server-admin", "defaultMode": 0o440, "optional": True}
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "client",
        "image": references["agent"],
        "command": ["/opt/modelyard/bin/python", "-c", code, *arguments],
        "securityContext": restricted,
        "volumeMounts": [{"name": "admin", "mountPath": "/run/secrets/admin"}],
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 10001},
        "volumes": [{"name": "admin", "secret": secret}],
    }
    labels = {f"modelyard.dev/uses-{uses}": "true"} if uses else {}
    metadata = {"name": name, "namespace": platform.namespace, "labels": labels}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    platform.node.kubectl("apply", "-f", "-", document=pod)
    return name


def finished(platform: ClusterPlatform, name: str, seconds: float) -> str:
    """What a pod has printed, once it has ended."""

    def phase() -> str:
        return platform.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")

    eventually(lambda: phase() in ("Succeeded", "Failed"), seconds=seconds, what=f"the end of {name}")
    printed = platform.kubectl("logs", name)
    assert phase() == "Succeeded", printed
    platform.kubectl("delete", "pod", name, "--wait=false")
    return printed
