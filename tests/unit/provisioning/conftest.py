"""Real servers, for each test module one."""

import json
import subprocess
import sys

import pytest

from tests.support.postgres_server import postgres_server
from tests.support.s3_server import S3Server


@pytest.fixture(scope="module", params=[16, 18])
def server(request):
    """A PostgreSQL of each version, with a login like a cloud's: no superuser, but with CREATEROLE and CREATEDB."""
    with postgres_server(request.param) as running:
        running.execute("CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'of-the-admin'")
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A real S3 server that keeps versions where it is told to."""
    server = S3Server(tmp_path_factory.mktemp("store"), versions=True).start()
    yield server
    server.kill()


@pytest.fixture
def job(tmp_path):
    """Runs a program as its Job does; returns its exit code and what it said, as a termination message has it."""

    def run(program, request):
        file = tmp_path / "request.json"
        file.write_text(json.dumps(request, default=str))
        command = [sys.executable, "-m", f"modelyard.provisioning.{program}", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return run
