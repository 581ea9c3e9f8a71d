"""Measure a platform in a cluster: `python bench/cluster.py`, on a node made for it; needs what tests/cluster needs."""

import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.run import empty_program, pulumi, seconds
from tests.support.cluster_platform import MODELYARD, ClusterPlatform, said
from tests.support.lone_cluster_platform import a_lone_cluster_platform

TIMES = 5
EMPTY = """
import pulumi_kubernetes as kubernetes
kubernetes.core.v1.ConfigMap("empty", metadata={"name": "empty", "namespace": "default"}, data={"nothing": ""})
"""


def measure(platform: ClusterPlatform) -> list[str]:
    """Lines about one platform, from its making to its end."""
    lines = [f"modelyard up: {seconds(platform.up):.1f} s"]
    env = environment(platform)
    empty = empty_program(env, EMPTY, ["preview"])
    ours = preview_of(platform, env)
    pairs = [(ours(), empty()) for _ in range(TIMES)]
    own, floor = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    what = f"({own:.2f} s) against an empty program with pulumi_kubernetes ({floor:.2f} s)"
    lines.append(f"pulumi preview with nothing to do {what}: {ratio:.2f} x")
    lines.append(f"modelyard up with nothing to do: {seconds(platform.up):.1f} s")
    lines.append(f"modelyard models: {seconds(lambda: said(platform.run('models'))):.1f} s")
    lines.append(f"modelyard down: {seconds(lambda: said(platform.run('down', '--yes'))):.1f} s")
    return lines


def preview_of(platform: ClusterPlatform, env: dict[str, str]) -> Callable[[], float]:
    return lambda: seconds(lambda: pulumi(["preview", "--stack", platform.stack], ROOT, env))


def environment(platform: ClusterPlatform) -> dict[str, str]:
    """Of the engine, as after `eval "$(modelyard pulumi-env)"`, with the node's cluster as the usual one."""
    lines = subprocess.run(
        [str(MODELYARD), "pulumi-env"], env=platform.environment, capture_output=True, text=True, check=True
    ).stdout
    found = dict(re.findall(r"^export (\w+)='?(.*?)'?$", lines, re.MULTILINE))
    return platform.environment | found | {"KUBECONFIG": str(platform.node.kubeconfig)}


def main() -> None:
    with a_lone_cluster_platform() as platform:
        print("\n".join(measure(platform)))


if __name__ == "__main__":
    main()
