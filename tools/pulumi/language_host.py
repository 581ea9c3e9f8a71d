"""Pulumi's language host for Python: what the engine asks before and while it runs a Python program.

Stands in for the official ``pulumi-language-python`` where Pulumi is built from its Go module, which doesn't hold it.
Started by the ``pulumi-language-python`` beside it; prints the port it serves on and ends when the engine does.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

BAIL = 32  # the program's exit code for "failed, and the user has been told"
BIN_FOLDER = Path(__file__).resolve().parent.parent / "bin"

# Only the message classes are needed, and importing all of pulumi takes more than twice as long: these empty modules
# stand for the packages around the messages, so that their __init__ modules don't run.
_found = PathFinder.find_spec("pulumi")
if _found is None or not _found.submodule_search_locations:
    sys.exit(f"{sys.executable} has no `pulumi` package: install the project's requirements, or set MODELYARD_PYTHON")
for _name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
    _package = types.ModuleType(_name)
    _package.__path__ = [str(Path(_found.submodule_search_locations[0], *_name.split(".")[1:]))]
    sys.modules[_name] = _package

import grpc  # noqa: E402
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402

# Makes the program die with this host, however that ends (Linux), then becomes the program.
_LAUNCHER = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The calls Pulumi makes for a project written in Python."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.program: subprocess.Popen[bytes] | None = None

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.1.0")

    def About(self, request: Any, context: Any) -> Any:
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        line = f"nothing installed: the program runs on what {python_of(request.info)} has\n"
        yield language_pb2.InstallDependenciesResponse(stdout=line.encode())

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        from importlib.metadata import distributions  # slow to import, and only `pulumi about` asks

        found = [(one.name, one.version) for one in distributions() if one.name.startswith("pulumi")]
        dependencies = [language_pb2.DependencyInfo(name=name, version=version) for name, version in sorted(found)]
        return language_pb2.GetProgramDependenciesResponse(dependencies=dependencies)

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        packages = [required_package(file) for file in plugin_files(python_of(request.info))]
        return language_pb2.GetRequiredPackagesResponse(packages=[package for package in packages if package])

    def Run(self, request: Any, context: Any) -> Any:
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        python = python_of(request.info)
        if not os.access(python, os.X_OK):
            return language_pb2.RunResponse(error=f"`virtualenv` in Pulumi.yaml: there is no {python}")
        launch = [sys.executable, "-ISc", _LAUNCHER, str(os.getpid())]
        self.program = subprocess.Popen(
            [*launch, python, "-u", *program_arguments(request, self.engine)], env=environment
        )
        code = self.program.wait()
        if code == BAIL:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program ended with exit code {code}" if code else "")


def program_arguments(request: Any, engine: str) -> list[str]:
    """The command line of ``pulumi-language-python-exec`` for a RunRequest."""
    options = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
    }
    flags = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    executor = str(BIN_FOLDER / "pulumi-language-python-exec")
    return [executor, *flags, request.info.entry_point or ".", *request.args]


def python_of(info: Any) -> str:
    """The interpreter for a program: its ``virtualenv`` runtime option's, else this one."""
    if environment := dict(info.options).get("virtualenv"):
        return str(Path(info.root_directory, environment, "bin", "python"))
    return sys.executable


def plugin_files(python: str) -> list[Path]:
    """The pulumi-plugin.json of every package installed for an interpreter, found without importing anything."""
    if python == sys.executable:
        folders = {Path(folder) for folder in sys.path if folder.endswith("-packages")}
    else:
        folders = set(Path(python).parent.parent.glob("lib/python*/site-packages"))
    return sorted(file for folder in folders for file in folder.glob("*/pulumi-plugin.json"))


def required_package(file: Path) -> Any:
    """A provider that a pulumi-plugin.json asks for, or None."""
    plugin = json.loads(file.read_text())
    if not plugin.get("resource"):
        return None
    name = plugin.get("name") or file.parent.name.removeprefix("pulumi_").replace("_", "-")
    version = f"v{plugin['version'].removeprefix('v')}" if plugin.get("version") else ""
    server = plugin.get("server", "")
    return plugin_pb2.PackageDependency(kind="resource", name=name, version=version, server=server)


def main() -> None:
    parent = os.getppid()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    host = LanguageHost(engine=sys.argv[-1])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(port, flush=True)
    while os.getppid() == parent and not stop.wait(1):
        pass
    if host.program is not None and host.program.poll() is None:
        host.program.kill()
    os._exit(0)  # nothing to save; taking gRPC down in order would only take time


if __name__ == "__main__":
    main()
