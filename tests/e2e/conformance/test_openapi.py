"""The server does what its OpenAPI document says, whatever schemathesis sends."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "schemathesis"


def schemathesis(server, folder, *options):
    command = [PROGRAM, "run", f"{server.url}/openapi.json", "--no-color", "--seed", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def test_every_example_is_answered(server, tmp_path):
    schemathesis(server, tmp_path, "--phases", "examples")


def test_odd_requests_get_documented_answers(server, tmp_path):
    # Valid by the schema isn't all: that columns have as many rows as each other is more than a schema can say.
    options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "25"]
    schemathesis(server, tmp_path, "--phases", "coverage,fuzzing", *options)
