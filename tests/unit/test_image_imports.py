"""What a pod runs imports nothing that its image lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"
PROGRAMS = [
    ("agent", "modelyard.cli"),
    ("agent", "modelyard.provisioning.database_logins"),
    ("agent", "modelyard.provisioning.databases"),
    ("agent", "modelyard.serving.kubernetes.agent"),
    ("model-server", "modelyard.serving.kubernetes.fetch"),
    ("model-server", "modelyard.serving.server.__main__"),
    ("model-server", "modelyard.serving.server.process"),
    ("tracking-server", "modelyard.provisioning.bucket"),
    ("tracking-server", "modelyard.tracking.app"),
    ("tracking-server", "modelyard.tracking.garbage"),
    ("tracking-server", "modelyard.tracking.launch"),
]
LIKE_THE_IMAGE = """
import importlib, re, sys
from importlib.metadata import packages_distributions

def named(name):
    return re.sub("[-_.]+", "-", name).lower()

locked = {named(line.split("==")[0]) for line in open(sys.argv[1]) if "==" in line and not line[0].isspace()}
of_module = packages_distributions()

class OnlyWhatIsLocked:
    def find_spec(self, name, path=None, target=None):
        distributions = {named(one) for one in of_module.get(name, ())} - {"modelyard"}
        if distributions and not distributions & locked:
            raise ModuleNotFoundError(f"{sys.argv[1]} has no {name}", name=name)

sys.meta_path.insert(0, OnlyWhatIsLocked())
importlib.import_module(sys.argv[2])
"""


@pytest.mark.parametrize(("image", "module"), PROGRAMS)
def test_what_is_imported_is_in_the_image(image: str, module: str) -> None:
    command = [sys.executable, "-c", LIKE_THE_IMAGE, str(IMAGES / image / "requirements.lock"), module]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{module} needs what the image {image} lacks:\n{done.stderr}"


def test_a_module_that_is_not_locked_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0 \\\n    --hash=sha256:00\n")
    command = [sys.executable, "-c", LIKE_THE_IMAGE, str(tmp_path / "requirements.lock"), "pandas"]
    assert "has no pandas" in subprocess.run(command, capture_output=True, text=True).stderr
