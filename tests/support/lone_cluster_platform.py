"""A platform on a node of its own, for programs that are run by hand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import node as nodes
from tests.support.cluster_platform import MODELYARD, ClusterPlatform, a_cluster_platform
from tests.support.node import ROOT, gateway
from tests.support.node.identity import Provider

TOOLS = ROOT / "tools"


@contextmanager
def a_lone_cluster_platform() -> Iterator[ClusterPlatform]:
    """One that isn't up yet; node, platform and all are gone afterwards.

    Raises:
        SystemExit: this machine can't have a node; says why.
    """
    sys.path.insert(0, str(TOOLS))
    from imaging import build, catalog
    from toolbox import cache

    command = [sys.executable, str(TOOLS / "get.py"), "--path", "--for-tests"]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    os.environ["PATH"] = os.pathsep.join([str(MODELYARD.parent), found, os.environ["PATH"]])
    if reason := nodes.missing() or gateway.missing():
        sys.exit(reason)
    with nodes.started(cache.root() / "test-registry") as node:
        made = build.own(tuple(catalog.IMAGES), push=f"{node.registry}/modelyard")
        provider = Provider(node.folder / "identity")
        gateway.install(node, provider.authority)
        references = {name: image.reference for name, image in made.items()}
        with a_cluster_platform(node, references, provider) as platform:
            yield platform
