"""A Kubernetes cluster that tests run in, as its administrator: one made for them, or somebody's."""

import json
import os
import subprocess
from pathlib import Path

import yaml

KUBECONFIG, REGISTRY = "MODELYARD_TEST_KUBECONFIG", "MODELYARD_TEST_REGISTRY"


class Cluster:
    """A cluster.

    Attributes:
        kubeconfig: Of an administrator; its current context is meant.
        registry: An image registry's `host:port`, plain HTTP; pods pull from it, and tests push to it.
        folder: For what tests write.
    """

    def __init__(self, kubeconfig: Path, registry: str, folder: Path) -> None:
        self.kubeconfig, self.registry, self.folder = kubeconfig, registry, folder

    @property
    def context(self) -> str:
        """The context that is meant."""
        return str(yaml.safe_load(self.kubeconfig.read_text())["current-context"])

    def kubectl(self, *arguments: str, document: object = None) -> str:
        """What kubectl prints, as the administrator.

        Args:
            document: Given to it as JSON, for `-f -`; a list of objects or one.
        """
        documents = document if isinstance(document, list) else [document]
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            input="\n".join(json.dumps(one) for one in documents) if document else None,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout


def is_given() -> bool:
    """Whether there is somebody's cluster for these tests."""
    return KUBECONFIG in os.environ


def given(folder: Path) -> Cluster:
    """Somebody's cluster; what tests install in it stays there.

    Args:
        folder: For what tests write.

    Raises:
        AssertionError: it is only half said which.
    """
    registry = os.environ.get(REGISTRY)
    assert registry, f"{KUBECONFIG} needs {REGISTRY}, too: a registry (host:port) that its pods pull from"
    return Cluster(Path(os.environ[KUBECONFIG]), registry, folder)
