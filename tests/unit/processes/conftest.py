import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    folder = tmp_path / "p"
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
