"""Model servers as processes, each with one worker, thread and model: ours and its peers."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from bench import peers
from modelyard.processes.ports import any_free_port

NAME = "m"
INFER, INVOCATIONS = f"/v2/models/{NAME}/infer", "/invocations"
ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
}


@contextmanager
def process(command: list[str], ready: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it answers."""
    with tempfile.TemporaryDirectory() as place:
        started = subprocess.Popen(
            command,
            env={**os.environ, **ENV, **(env or {}), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=place,
        )
        try:
            deadline = time.monotonic() + 120
            while not _answers(ready):
                assert started.poll() is None, f"{command} ended with {started.returncode}"
                assert time.monotonic() < deadline, f"{command} did not get ready"
                time.sleep(0.02)
            yield started
        finally:
            for one in [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()  # not by group: BentoML's worker leaves it
            started.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def ours(folder: Path, proofs: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = any_free_port()
    command = [sys.executable, "-m", "modelyard.serving.server", "--model", f"{NAME}={folder}", "--port", str(port)]
    ready = f"http://127.0.0.1:{port}/v2/health/ready"
    with process([*command, "--proofs", str(proofs), *options], ready) as started:
        yield f"http://127.0.0.1:{port}", started


@contextmanager
def mlflow_serve(folder: Path) -> Iterator[str]:
    port = any_free_port()
    command = [
        str(Path(sys.executable).parent / "mlflow"),
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
    ]
    with process([*command, "--workers", "1", "-p", str(port)], f"http://127.0.0.1:{port}/ping"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def mlserver(folder: Path) -> Iterator[str]:
    port = any_free_port()
    env = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_METRICS_PORT": str(any_free_port(frozenset({port}))),
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": NAME,
        "MLSERVER_MODEL_URI": str(folder),
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
    }
    command = [sys.executable, "-m", "mlserver.cli.main", "start", "."]
    with process(command, f"http://127.0.0.1:{port}/v2/models/{NAME}/ready", env):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def litserve(folder: Path) -> Iterator[str]:
    port = any_free_port()
    command = [str(peers.python()), str(peers.HERE / "litserve_server.py"), str(folder), str(port)]
    with process(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def bentoml(folder: Path) -> Iterator[str]:
    port = any_free_port()
    command = [str(peers.python()), "-m", "bentoml", "serve", "bentoml_service:Model", "--working-dir", str(peers.HERE)]
    env = {"MODEL_FOLDER": str(folder)}
    with process([*command, "--host", "127.0.0.1", "--port", str(port)], f"http://127.0.0.1:{port}/readyz", env):
        yield f"http://127.0.0.1:{port}"
