import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from modelyard.serving import payload_commands
from modelyard.serving.payloads import PayloadLog, PayloadSettings, StoreAddress


@pytest.fixture
def settings(tmp_path):
    """A payload log that stores into a folder."""
    return PayloadSettings(StoreAddress(str(tmp_path / "store")), tmp_path / "spool")


@pytest.fixture
def a_log(settings):
    """Makes payload logs with changed settings, and closes them at the end."""
    made = []

    def make(**changed):
        made.append(PayloadLog(replace(settings, **changed)))
        return made[-1]

    yield make
    for log in made:
        log.close(5)


@pytest.fixture
def run(settings, tmp_path):
    """Runs a command against the store; JSON comes back parsed."""
    app = typer.Typer()
    payload_commands.register(app)

    def run(*arguments, code=0):
        store = str(tmp_path / "store")
        done = CliRunner().invoke(app, [*arguments, "--store", store], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


@pytest.fixture
def give(run, tmp_path):
    """Hands labels over: lines of CSV without the header, the label last."""

    def give(*lines, head="request_id,label", model="bike", code=0, more=()):
        file = tmp_path / "labels.csv"
        file.write_text("\n".join([head, *lines]) + "\n")
        return run("feedback", model, "--labels", str(file), "--json", *more, code=code)

    return give
