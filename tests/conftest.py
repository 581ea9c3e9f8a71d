"""For every test: the tools on PATH, bytecode on, and nothing of the person's own platforms in sight."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something about the machine; CI tries the same examples each time, people try new ones.
settings.register_profile("modelyard", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("modelyard")

# Else every run rewrites the asserts of every test file anew.
sys.dont_write_bytecode = False

# PyTorch is in an environment of its own: `make test-pytorch`.
collect_ignore = [] if importlib.util.find_spec("torch") else ["pytorch"]

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "get.py"), "--path", "--for-tests"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.exit(f"the tools are missing: {done.stderr.strip()} (`make tools`)", returncode=2)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), done.stdout.strip(), os.environ["PATH"]])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every start of MLflow takes twice as long
    for name in ("MODELYARD_STACK", "MODELYARD_HOME"):
        os.environ.pop(name, None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for a few rows, threads cost more
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
