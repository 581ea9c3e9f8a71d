from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from toolbox import settings
from toolbox.sources import go_module

STANDS_IN_FOR_A_PROGRAM = """
import os, sys, time
print(*sys.argv[1:], os.environ["PULUMI_CONFIG"], os.environ["PULUMI_CONFIG_SECRET_KEYS"], flush=True)
program = sys.argv[-1]
open("pid", "w").write(str(os.getpid()))
time.sleep(60) if program == "sleep" else sys.exit(int(program))
"""


@dataclass
class Host:
    """A running language host, and the engine's end of the wire."""

    process: subprocess.Popen[str]
    calls: language_pb2_grpc.LanguageRuntimeStub
    running: object = None

    def start_sleeping_program(self, folder: Path) -> int:
        """Ask for a program that runs on; returns its process id. The call is kept: dropping it would cancel it."""
        self.running = self.calls.Run.future(run_request("sleep"))
        deadline = time.monotonic() + 10
        while not (folder / "pid").exists() or not (folder / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return int((folder / "pid").read_text())


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Our files as tools/get.py puts them beside a built pulumi, with a stand-in for what runs a program."""
    (tmp_path / "pulumi" / "bin").mkdir(parents=True)
    (tmp_path / "pulumi" / "bin" / "pulumi-language-python-exec").write_text(STANDS_IN_FOR_A_PROGRAM)
    go_module.copy_files(settings.load()["pulumi"], tmp_path / "pulumi")
    return tmp_path / "pulumi"


@pytest.fixture
def host(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The host, started as the engine starts it."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("MODELYARD_PYTHON", sys.executable)
    command = [str(installed / "bin" / "pulumi-language-python"), "127.0.0.1:4444"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        assert process.stdout
        with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
            yield Host(process, language_pb2_grpc.LanguageRuntimeStub(channel))
        process.kill()


def run_request(program: str) -> language_pb2.RunRequest:
    info = language_pb2.ProgramInfo(root_directory="/project", program_directory="/project/infra", entry_point=program)
    return language_pb2.RunRequest(
        project="yard", stack="local", parallel=4, monitor_address="127.0.0.1:5555", info=info, dryRun=True,
        config={"yard:size": "2"}, configSecretKeys=["yard:size"],
    )  # fmt: skip


def gone(pid: int) -> bool:
    """Whether a process has ended within two seconds; one nobody has collected yet counts as ended."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_program_gets_what_the_engine_asked_for(host: Host) -> None:
    assert host.calls.Run(run_request("0")) == language_pb2.RunResponse()
    assert host.process.stdout
    assert host.process.stdout.readline() == (
        "--monitor 127.0.0.1:5555 --engine 127.0.0.1:4444 --project yard --root_directory /project --stack local "
        '--dry_run true --parallel 4 0 {"yard:size": "2"} ["yard:size"]\n'
    )


def test_a_program_that_told_its_failure_bails(host: Host) -> None:
    assert host.calls.Run(run_request("32")) == language_pb2.RunResponse(bail=True)


def test_any_other_exit_code_is_an_error(host: Host) -> None:
    assert host.calls.Run(run_request("3")).error == "the program ended with exit code 3"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_host_and_program_quietly(host: Host, tmp_path: Path, number: signal.Signals) -> None:
    program = host.start_sleeping_program(tmp_path)
    host.process.send_signal(number)
    assert host.process.wait(timeout=5) == 0
    assert host.process.stderr
    assert host.process.stderr.read() == ""
    assert gone(program)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_program_does_not_outlive_a_killed_host(host: Host, tmp_path: Path) -> None:
    program = host.start_sleeping_program(tmp_path)
    host.process.kill()
    assert gone(program)


def test_required_packages_come_from_the_virtual_environment(host: Host, tmp_path: Path) -> None:
    package = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "pulumi_aws"
    package.mkdir(parents=True)
    (package / "pulumi-plugin.json").write_text('{"resource": true, "name": "aws", "version": "7.51.0"}')
    options = Struct()
    options.update({"virtualenv": "venv"})
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), options=options)
    found = host.calls.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info)).packages
    assert [(one.kind, one.name, one.version) for one in found] == [("resource", "aws", "v7.51.0")]


def test_a_virtual_environment_that_is_not_there_is_named(host: Host) -> None:
    request = run_request("0")
    request.info.options.update({"virtualenv": "venv"})
    assert host.calls.Run(request).error == "`virtualenv` in Pulumi.yaml: there is no /project/venv/bin/python"


def test_about_names_the_interpreter(host: Host) -> None:
    assert host.calls.About(language_pb2.AboutRequest()).executable == sys.executable


def test_the_projects_own_environment_is_found_from_a_folder_below(installed: Path, tmp_path: Path) -> None:
    below, python = tmp_path / "project" / "infra" / "deep", tmp_path / "project" / ".venv" / "bin" / "python"
    below.mkdir(parents=True)
    python.parent.mkdir(parents=True)
    (tmp_path / "project" / "Pulumi.yaml").touch()
    python.write_text("#!/bin/sh\necho the project\\'s\n")
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "MODELYARD_PYTHON"}
    script = [str(installed / "lib" / "project-python")]
    path = {"PATH": "/usr/bin:/bin"}
    assert subprocess.check_output(script, cwd=below, env=environment | path, text=True) == "the project's\n"
    option = {"PULUMI_RUNTIME_VIRTUALENV": ".venv", "MODELYARD_PYTHON": "/nowhere"}
    assert subprocess.check_output(script, cwd=below, env=environment | path | option, text=True) == "the project's\n"
