import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from modelyard.serving import commands


@pytest.fixture
def app():
    app = typer.Typer()
    commands.register(app)
    return app


def test_help_needs_none_of_the_heavy_packages():
    heavy = ("httpx", "psycopg", "pydantic")
    code = f"import sys, modelyard.serving.commands; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["deploy", "undeploy", "models"])
def test_every_command_explains_itself(app, command):
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("replicas", ["0", "65", "x"])
def test_impossible_numbers_of_replicas_are_wrong_use(app, replicas):
    assert CliRunner().invoke(app, ["deploy", "bike", "--replicas", replicas]).exit_code == 2
