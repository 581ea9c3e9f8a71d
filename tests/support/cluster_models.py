"""Models of a platform in a cluster: what is asked of its agent, and their pods."""

import json
from typing import Any

from tests.support.cluster_platform import ClusterPlatform, said
from tests.support.cluster_pods import is_ready

INSIDE = (
    "from modelyard.descriptor import find\n"
    "from modelyard.serving.operations import deployments_of, resolve\n"
    "platform = find()\n"
    "with deployments_of(platform) as deployments:\n"
)


def inside(platform: ClusterPlatform, code: str) -> str:
    """Run Python lines with the open `deployments`, indented, in the agent's pod."""
    python = "/opt/modelyard/bin/python"
    return platform.kubectl("exec", "deployment/serving-agent", "--", python, "-c", INSIDE + code)


def models(platform: ClusterPlatform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said(platform.run("models", "--json")))
    return found


def pods(platform: ClusterPlatform) -> list[str]:
    """Names of the model servers' pods, those on their way out too."""
    listed = platform.kubectl("get", "pods", "-l", "app.kubernetes.io/name=model-server", "-o", "name")
    return [name.removeprefix("pod/") for name in listed.split()]


def ready(platform: ClusterPlatform) -> int:
    """How many of them get requests."""
    found = platform.kubectl("get", "pods", "-l", "app.kubernetes.io/name=model-server", "-o", "json")
    return sum(is_ready(pod) for pod in json.loads(found)["items"])


def restarts(platform: ClusterPlatform) -> int:
    """How often a container of a model server's pod was started anew."""
    found = platform.kubectl("get", "pods", "-l", "app.kubernetes.io/name=model-server", "-o", "json")
    of_each = [pod["status"].get("containerStatuses", []) for pod in json.loads(found)["items"]]
    return sum(container["restartCount"] for containers in of_each for container in containers)
