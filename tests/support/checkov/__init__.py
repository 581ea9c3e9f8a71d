"""checkov (https://www.checkov.io) in an environment of its own: what it finds in Kubernetes' manifests."""

import json
import subprocess
from pathlib import Path

from toolbox import environments

LOCK = Path(__file__).with_name("requirements.lock")


def findings(manifests: Path) -> list[tuple[str, str]]:
    """The checks that objects failed, each with the object's name.

    Args:
        manifests: A file of YAML documents.
    """
    python = environments.python("checkov", LOCK, "checkov's environment")
    command = [str(python), "-m", "checkov.main", "--file", str(manifests), "--framework", "kubernetes"]
    command += ["--output", "json", "--quiet", "--compact", "--soft-fail", "--skip-download"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["summary"]["parsing_errors"] == 0, done.stdout[:2000]
    assert document["summary"]["resource_count"] > 0
    return [(one["check_id"], one["resource"].rpartition(".")[2]) for one in document["results"]["failed_checks"]]
