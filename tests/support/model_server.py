"""Model servers as processes of a test, on free ports of loopback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from modelyard.processes.ports import any_free_port
from tests.support.waiting import eventually


@dataclass
class ModelServer:
    """A running server.

    Attributes:
        url: V2 and `/invocations`.
        management_url: Metrics and the model repository.
        grpc: Host and port.
    """

    process: subprocess.Popen[bytes]
    port: int
    management_port: int
    grpc_port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def log(self) -> str:
        return self.log_file.read_text()

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log()}"
        try:
            return httpx.get(f"{self.url}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        text = httpx.get(f"{self.management_url}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def launched(
    models: Mapping[str, Path],
    folder: Path,
    *options: str,
    allow_pickle: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> ModelServer:
    """Start a server and don't wait for it.

    Args:
        models: Folders by name, or by NAME@VERSION.
        folder: For its log and its proofs.
        options: Further command-line options.
        allow_pickle: Names of models that may be unpickled.
        env: Further environment variables.
    """
    ports: list[int] = []
    for _ in range(3):
        ports.append(any_free_port(frozenset(ports)))
    command = [sys.executable, "-m", "modelyard.serving.server", "--proofs", str(folder / "proofs"), *options]
    for option, port in zip(("--port", "--management-port", "--grpc-port"), ports, strict=True):
        command += [option, str(port)]
    for named, path in models.items():
        name, _, version = named.partition("@")
        one = {"name": name, "version": version or "1", "folder": str(path), "allow_pickle": name in allow_pickle}
        command += ["--model", json.dumps(one)]
    log_file = folder / f"server-{ports[0]}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
        )
    return ModelServer(process, *ports, log_file)


def proved(models: Mapping[str, Path], folder: Path, allow_pickle: Sequence[str] = ()) -> None:
    """Find out here how models may be asked: MLflow is imported once instead of once per model.

    Args:
        models: As for `launched`.
        folder: As for `launched`.
        allow_pickle: As for `launched`.
    """
    from modelyard.serving.server.loading import proof
    from modelyard.serving.server.loading.files import model_files
    from modelyard.serving.server.loading.trial import trial

    for name, path in models.items():
        files = model_files(path)
        found = trial(files, allow_pickle=name.partition("@")[0] in allow_pickle)
        proof.remember(found, proof.place(files, folder / "proofs"))


@contextmanager
def a_server(
    models: Mapping[str, Path],
    folder: Path,
    *options: str,
    allow_pickle: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[ModelServer]:
    """A server that is ready, as long as the block lasts; arguments as for `launched`."""
    server = launched(models, folder, *options, allow_pickle=allow_pickle, env=env)
    try:
        eventually(server.is_ready, seconds=90, what="the server's readiness")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
