import sys
from collections.abc import Callable, Iterator

import pytest

from modelyard.processes import CommandCheck, HttpCheck, ProcessSpec, Supervisor
from modelyard.processes.ports import any_free_port
from modelyard.processes.sweep import sweep

SERVER = (
    "import http.server, os, sys\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers()\n"
    "        self.wfile.write(os.environ.get(self.path[1:], '').encode())\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    folder = tmp_path_factory.mktemp("shared") / "p"
    yield Supervisor(folder)
    sweep(folder)


@pytest.fixture
def supervisor(shared: Supervisor) -> Iterator[Supervisor]:
    """One that runs already, with nothing to look after; a test may do everything but hurt the daemon itself."""
    yield shared
    for spec in shared.specs():
        shared.remove(spec.name)
    for left in [*(shared.folder / "secrets").glob("*"), *shared.logs.glob("*.log")]:
        if left.name != "supervisor.log":
            left.unlink()


@pytest.fixture
def own_supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """One whose daemon a test may stop, kill and damage."""
    folder = tmp_path_factory.mktemp("own") / "p"  # a test's own folder is too deep for a socket
    yield Supervisor(folder)
    sweep(folder)


@pytest.fixture
def web() -> Callable[..., ProcessSpec]:
    """A small web server that answers with the environment variable its path names."""

    used: set[int] = set()

    def spec(name: str = "web", **changes: object) -> ProcessSpec:
        port = any_free_port(frozenset(used))
        used.add(port)
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-I", "-S", "-u", "-c", SERVER, str(port)),
            ports=(port,),
            ready=HttpCheck(url=f"http://127.0.0.1:{port}/"),
            stop_seconds=1,  # a request to stop that comes before the launcher's first line is lost
        ).model_copy(update=changes)

    return spec


@pytest.fixture
def failing() -> ProcessSpec:
    return ProcessSpec(
        name="web",
        command=("/bin/sh", "-c", "echo no such table: cats; exit 1"),
        ready=CommandCheck(command=("/bin/false",)),
        ready_seconds=20,
    )
