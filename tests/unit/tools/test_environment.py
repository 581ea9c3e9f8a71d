"""The Python environment: what it is made from, and a pip where the machine's venv has none."""

import importlib
import os
import re
import runpy
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PATH = os.environ["PATH"]  # the folder's other tests see an empty one


@pytest.fixture
def environment():
    return importlib.import_module("environment")


class Checkout:
    """A checkout whose .venv is real and empty: what would be installed is only counted."""

    def __init__(self, environment, folder, monkeypatch):
        self._environment, self._monkeypatch = environment, monkeypatch
        self.installs = 0
        folder.mkdir()
        (folder / "requirements.lock").write_text("uv==0\n")
        (folder / "pyproject.toml").write_text("[project]\n")
        monkeypatch.setattr(environment, "_install", self._count)
        monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)  # a venv without pip is quick
        self.is_at(folder)

    def is_at(self, folder):
        self.root, self.venv = folder, folder / ".venv"
        places = {"ROOT": folder, "VENV": self.venv, "LOCK": folder / "requirements.lock"}
        places |= {"PYTHON": self.venv / "bin" / "python"}
        places |= {"MADE_BY": self.venv / ".made-by", "MADE_FROM": self.venv / ".made-from"}
        for name, path in places.items():
            self._monkeypatch.setattr(self._environment, name, path)

    def _count(self):
        self.installs += 1

    def make(self):
        assert self._environment.main() == 0

    def is_the_same_venv(self):
        """Whether the venv was not made anew since this was asked before."""
        witness = self.venv / "witness"
        same = witness.exists()
        witness.touch()
        return same


@pytest.fixture
def checkout(environment, tmp_path, monkeypatch):
    checkout = Checkout(environment, tmp_path / "checkout", monkeypatch)
    checkout.make()
    assert not checkout.is_the_same_venv()
    return checkout


def test_the_locked_lines_of_one_package_are_its_version_and_hashes(environment):
    lines = environment._locked("uv").splitlines()
    assert lines[0].startswith("uv==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])


def test_a_package_that_is_not_locked_is_an_error(environment):
    with pytest.raises(OSError, match="does not name no-such-package"):
        environment._locked("no-such-package")


def test_the_lock_names_no_address(environment):
    assert "://" not in environment.LOCK.read_text()


def test_an_environment_as_locked_is_left_alone(checkout):
    checkout.make()
    assert checkout.installs == 1
    assert checkout.is_the_same_venv()


@pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml"])
def test_another_lock_or_project_changes_the_packages_of_the_same_venv(checkout, file):
    (checkout.root / file).write_text("# another\n")
    checkout.make()
    assert checkout.installs == 2
    assert checkout.is_the_same_venv()


def another_python(checkout):
    mark = checkout.venv / ".made-by"
    mark.write_text(mark.read_text().replace(sys.version.split()[0], "3.11.0"))


def another_place(checkout):
    checkout.is_at(checkout.root.rename(checkout.root.with_name("moved")))


def a_python_that_is_gone(checkout):
    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").symlink_to("/no/such/python3")


def a_python_that_fails(checkout):
    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (checkout.venv / "bin" / "python").chmod(0o755)


@pytest.mark.parametrize("change", [another_python, another_place, a_python_that_is_gone, a_python_that_fails])
def test_a_venv_of_another_python_or_place_is_made_anew(checkout, change):
    change(checkout)
    checkout.make()
    assert not checkout.is_the_same_venv()
    assert checkout.installs == 2
    subprocess.run([checkout.venv / "bin" / "python", "-c", ""], check=True)


def test_a_venvs_own_python_makes_it_anew_with_the_one_it_comes_from(environment, checkout):
    code = "import environment; print(environment._base_python(), environment._made_by(), sep='\\n')"
    tools = {"PYTHONPATH": str(Path(environment.__file__).parent)}
    command = [checkout.venv / "bin" / "python", "-c", code]
    said = subprocess.run(command, env=tools, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == environment._base_python()
    assert not Path(said[0]).is_relative_to(checkout.venv)
    assert said[1].startswith(f"{said[0]} {sys.version.split()[0]} in ")


def test_packages_that_were_changed_half_way_are_neither_the_old_nor_the_new_ones(environment, checkout, monkeypatch):
    def fails():
        raise OSError("no space left on device")

    before = environment.LOCK.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", fails)
        environment.LOCK.write_text("uv==1\n")
        assert environment.main() == 1
    environment.LOCK.write_text(before)
    checkout.make()
    assert checkout.installs == 2


def test_two_terminals_make_it_once(environment, checkout, monkeypatch, capsys):
    environment.LOCK.write_text("uv==1\n")
    installing = []

    def slowly():
        installing.append(1)
        while "waiting for another terminal" not in capsys.readouterr().err:
            pass

    monkeypatch.setattr(environment, "_install", slowly)
    with ThreadPoolExecutor(2) as terminals:
        both = [terminals.submit(environment.main) for _ in range(2)]
        assert [terminal.result(30) for terminal in both] == [0, 0]
    assert installing == [1]


PYPROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
OLDEST, FIRST_TOO_NEW = ((3, int(minor)) for minor in re.findall(r"3\.(\d+)", PYPROJECT["requires-python"]))


@pytest.mark.parametrize("version", [(3, OLDEST[1] - 1, 14), (*FIRST_TOO_NEW, 0)])
def test_a_python_that_does_not_serve_is_refused_at_once(environment, monkeypatch, version):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        with pytest.raises(SystemExit, match=r"needs Python 3\.11, 3\.12 or 3\.13"):
            runpy.run_path(environment.__file__)


@pytest.mark.parametrize("version", [(*OLDEST, 0), (3, FIRST_TOO_NEW[1] - 1, 9)])
def test_a_python_that_the_project_asks_for_is_not_refused(environment, monkeypatch, version):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        assert runpy.run_path(environment.__file__)["main"]


def test_a_venv_without_pip_gets_debians(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", PATH)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "venv" / "bin" / "python")
    (pip,) = environment._pip()
    done = subprocess.run([str(environment.PYTHON), pip, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ")
    assert Path(pip).parent.suffix == ".whl"


def test_a_failure_says_why_and_does_not_count_as_made(environment, checkout, monkeypatch, capsys):
    environment.LOCK.write_text("uv==1\n")
    failing = [sys.executable, "-c", "raise SystemExit('no space left on device')"]
    monkeypatch.setattr(environment, "_install", lambda: environment._run(failing))
    assert environment.main() == 1
    assert "no space left on device" in capsys.readouterr().err
    assert not (checkout.venv / ".made-from").exists()
