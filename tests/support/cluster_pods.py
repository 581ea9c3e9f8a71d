"""Pods of a platform's namespace: Python programs in ones of the tests' own, and others' ends."""

import json
import time
from collections.abc import Sequence
from typing import Any

from tests.support.cluster_platform import ClusterPlatform
from tests.support.waiting import eventually

CLOSED = {"TimeoutError", "ConnectionRefusedError"}  # what is met where a NetworkPolicy lets nobody through
Place = tuple[str, int]

# A new pod is let through NetworkPolicies a moment after it was started.
ONCE_OPEN = """
import socket, time
for _ in range(60):
    try:
        socket.create_connection(("{host}", {port}), timeout=1).close()
        break
    except OSError:
        time.sleep(0.5)
"""
MEET = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def meet(place):
    try:
        socket.create_connection(tuple(place), timeout=3).close()
        return "open"
    except OSError as error:
        return type(error).__name__

places = json.loads(sys.argv[1])
with ThreadPoolExecutor() as threads:
    print(json.dumps(list(threads.map(meet, places))))
"""


def met(
    platform: ClusterPlatform,
    references: dict[str, str],
    places: Sequence[Place],
    *,
    uses: str = "",
    once_open: Place | None = None,
) -> list[str]:
    """What a pod meets at each place: `open`, or the name of an error.

    Args:
        places: Host and port each.
        uses: The part whose pods it is let through to; empty: none.
        once_open: A place that it is to reach, which it waits for first, half a minute at most.
    """
    wait = ONCE_OPEN.format(host=once_open[0], port=once_open[1]) if once_open else ""
    name = start_pod(platform, references, wait + MEET, [json.dumps(places)], uses=uses)
    found: list[str] = json.loads(finished(platform, name, 90))
    return found


def run_pod(platform: ClusterPlatform, references: dict[str, str], code: str, *, uses: str = "") -> str:
    """What a Python program prints in a pod of the platform's namespace."""
    return finished(platform, start_pod(platform, references, code, [], uses=uses), 90)


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
    """What a pod has printed, once it has ended; it is deleted, however that went."""

    def phase() -> str:
        return platform.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")

    try:
        eventually(lambda: phase() in ("Succeeded", "Failed"), seconds=seconds, what=f"the end of {name}")
        printed = platform.kubectl("logs", name)
        assert phase() == "Succeeded", printed
        return printed
    finally:
        delete(platform, name)


def delete(platform: ClusterPlatform, name: str) -> None:
    """Have a pod go, if it is there; nobody waits."""
    platform.kubectl("delete", "pod", name, "--wait=false", "--ignore-not-found", "--grace-period=1")


def uid(platform: ClusterPlatform, name: str) -> str:
    """What tells a pod from others that had its name, or will; empty: there is none just now."""
    return platform.kubectl("get", "pod", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")


def replace(platform: ClusterPlatform, name: str, *how: str, seconds: float = 120) -> None:
    """Delete a StatefulSet's pod, and wait until another one is ready in its place.

    Args:
        how: Options of `kubectl delete`.
    """
    before = uid(platform, name)
    platform.kubectl("delete", "pod", name, "--wait=false", *how)

    def is_another_ready() -> bool:
        found = platform.kubectl("get", "pod", name, "--ignore-not-found", "-o", "json")
        pod: dict[str, Any] = json.loads(found) if found else {}
        return bool(pod) and pod["metadata"]["uid"] != before and is_ready(pod)

    eventually(is_another_ready, seconds=seconds, what=f"another {name}, and ready,")


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod, as the API tells of it, gets requests."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def of_workloads(platform: ClusterPlatform) -> dict[str, dict[str, dict[str, Any]]]:
    """The pods of Deployments and StatefulSets that the stack has made, by workload and uid; none on its way out."""
    selector = "app.kubernetes.io/part-of=modelyard,!batch.kubernetes.io/job-name"
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for pod in json.loads(platform.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]:
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            found.setdefault(metadata["labels"]["app.kubernetes.io/name"], {})[metadata["uid"]] = pod
    return found
