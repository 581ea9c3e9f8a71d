"""The Python environment: what it is made from, and a pip where the machine's venv has none."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PATH = os.environ["PATH"]  # the folder's other tests see an empty one


@pytest.fixture
def environment():
    return importlib.import_module("environment")


def test_the_locked_lines_of_one_package_are_its_version_and_hashes(environment):
    lines = environment._locked("uv").splitlines()
    assert lines[0].startswith("uv==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])


def test_a_package_that_is_not_locked_is_an_error(environment):
    with pytest.raises(OSError, match="does not name no-such-package"):
        environment._locked("no-such-package")


def test_the_lock_names_no_address(environment):
    assert "://" not in environment.LOCK.read_text()


def test_an_environment_as_locked_is_left_alone(environment, monkeypatch):
    monkeypatch.setattr(environment, "_install", lambda: pytest.fail("it installed again"))
    assert environment.main() == 0


@pytest.mark.parametrize("file", ["LOCK", "ROOT"])
def test_another_lock_or_project_makes_it_anew(environment, monkeypatch, tmp_path, file):
    before = environment._made_from()
    (tmp_path / "requirements.lock").write_text("uv==0\n")
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(environment, file, tmp_path / "requirements.lock" if file == "LOCK" else tmp_path)
    assert environment._made_from() != before


def test_a_venv_without_pip_gets_debians(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", PATH)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "venv" / "bin" / "python")
    (pip,) = environment._pip()
    done = subprocess.run([str(environment.PYTHON), pip, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ")
    assert Path(pip).parent.suffix == ".whl"


def test_a_failure_says_why_and_does_not_count_as_made(environment, monkeypatch, tmp_path, capsys):
    def fails():
        raise OSError("no space left on device")

    monkeypatch.setattr(environment, "MARK", tmp_path / "mark")
    monkeypatch.setattr(environment, "_install", fails)
    assert environment.main() == 1
    assert "no space left on device" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
