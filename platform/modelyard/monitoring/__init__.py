"""What is watched, and what is worth waking somebody for: rules for Prometheus, dashboards for Grafana."""

from pathlib import Path

RULES = Path(__file__).parent / "rules"
ON_A_MACHINE_ONLY = frozenset({"machine.yaml"})


def rule_files() -> list[Path]:
    """The rule files of a local platform, in order of their names."""
    return sorted(RULES.glob("*.yaml"))


def cluster_rule_files(*, pods: bool = True) -> list[Path]:
    """The rule files of a platform in a Kubernetes cluster: nodes are somebody else's, pods are its own.

    Args:
        pods: Whether there is a kube-state-metrics that tells of them.
    """
    common = [path for path in rule_files() if path.name not in ON_A_MACHINE_ONLY]
    of_clusters = sorted((RULES / "cluster").glob("*.yaml"))
    return common + [path for path in of_clusters if pods or path.name != "pods.yaml"]
