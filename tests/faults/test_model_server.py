"""Models that hang and leak, clients that dawdle, processes that are killed: what the model server makes of them."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from modelyard.serving.model_store import digests
from tests.support import odd_models
from tests.support.model_server import ModelServer, a_server, launched, proved
from tests.support.saved_models import sklearn_numbers
from tests.support.waiting import eventually

TOKEN = {"MODELYARD_MANAGEMENT_TOKEN": "secret"}
BEARER = {"authorization": "Bearer secret"}
ODD = ("hanging", "leaking", "slow")
ROW = {
    "inputs": [{"name": f"x{index}", "shape": [1], "datatype": "FP64", "data": [0.5]} for index in range(4)]
    + [{"name": "count", "shape": [1], "datatype": "INT64", "data": [3]}]
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"numbers": sklearn_numbers(root / "numbers")} | {name: odd_models.save(root / name, name) for name in ODD}


@pytest.fixture(scope="module")
def proofs(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    proved(folders, folder, ODD)
    return folder


@contextmanager
def serving(
    folders: dict[str, Path],
    proofs: Path,
    *names: str,
    options: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[ModelServer]:
    served = {name: folders[name] for name in names}
    with a_server(served, proofs, *options, allow_pickle=ODD, env=env) as server:
        yield server


def ask(server: ModelServer, model: str, value: float, timeout: float = 30) -> httpx.Response:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [value]}]}
    return httpx.post(f"{server.url}/v2/models/{model}/infer", json=body, timeout=timeout)


class Load:
    """Clients that ask one model as fast as it answers, each on one connection; every answer is kept by its status."""

    def __init__(self, server: ModelServer, clients: int = 4) -> None:
        self.answers: list[int] = []
        self.errors: list[str] = []
        self._port = server.port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        body = json.dumps(ROW)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._over.is_set():
            try:
                connection.request("POST", "/v2/models/numbers/infer", body)
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(type(error).__name__)
                connection.close()
        connection.close()


def test_a_model_that_hangs_is_given_up_and_others_go_on(folders, proofs):
    with serving(folders, proofs, "numbers", "hanging", options=("--predict-seconds", "0.5")) as server:
        answer = ask(server, "hanging", -1)
        assert answer.status_code == 504
        assert "did not answer within 0.5 s" in answer.json()["error"]
        assert ask(server, "hanging", 2).json()["outputs"][0]["data"] == [4.0]
        assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).status_code == 200
        assert server.metric("modelyard_model_stuck_total") == 1


def test_a_process_with_too_many_hanging_predictions_ends_to_be_started_anew(folders, proofs):
    with serving(folders, proofs, "hanging", options=("--predict-seconds", "0.3")) as server:
        for _ in range(2):
            with suppress(httpx.TransportError):
                ask(server, "hanging", -1)
        assert server.process.wait(20) == 70


def test_a_model_that_leaks_ends_its_process_before_it_takes_the_machine(folders, proofs):
    with serving(folders, proofs, "leaking", options=("--max-memory-mib", "700")) as server:
        with suppress(httpx.TransportError):
            for _ in range(100):
                if ask(server, "leaking", 1).status_code != 200:
                    break
        assert server.process.wait(20) == 71


def test_a_server_that_is_told_to_stop_finishes_what_it_has(folders, proofs):
    with serving(folders, proofs, "slow") as server:
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(ask(server, "slow", 1.5).status_code))
        asking.start()
        eventually(lambda: server.metric("modelyard_server_connections") > 0, seconds=5, what="a connection")
        server.process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        assert server.process.wait(10) == 0


def test_a_version_is_swapped_under_load_without_a_failed_request(folders, proofs):
    with serving(folders, proofs, "numbers", env=TOKEN) as server, Load(server) as load:
        for version in ("2", "3", "2"):
            parameters = {"folder": str(folders["numbers"]), "version": version}
            url = f"{server.management_url}/v2/repository/models/numbers/load"
            changed = httpx.post(url, json={"parameters": parameters}, headers=BEARER, timeout=60)
            assert changed.status_code == 200, changed.text
            assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).json()["model_version"] == version
        eventually(lambda: len(load.answers) > 200, what="some load")
    assert set(load.answers) == {200}
    assert load.errors == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
@pytest.mark.parametrize("env", [{}, {"MODELYARD_MANAGEMENT_TOKEN": "secret"}])
def test_nobody_changes_what_is_served_without_the_token(folders, proofs, headers, env):
    with serving(folders, proofs, "numbers", env=env) as server:
        url = f"{server.management_url}/v2/repository/models/numbers/unload"
        assert httpx.post(url, headers=headers).status_code == 403
        assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).status_code == 200


def test_a_pickle_is_not_allowed_by_whoever_loads_it(folders, proofs):
    with serving(folders, proofs, "numbers", env=TOKEN) as server:
        parameters = {"folder": str(folders["slow"]), "version": "1", "allow_pickle": True}
        url = f"{server.management_url}/v2/repository/models/slow/load"
        refused = httpx.post(url, json={"parameters": parameters}, headers=BEARER, timeout=60)
        assert refused.status_code == 400
        assert "allow_pickle" in refused.json()["error"]


def test_a_version_that_is_refused_leaves_the_old_one_serving(folders, proofs, tmp_path):
    with serving(folders, proofs, "numbers", env=TOKEN) as server:
        parameters = {"folder": str(tmp_path), "version": "2"}
        url = f"{server.management_url}/v2/repository/models/numbers/load"
        refused = httpx.post(url, json={"parameters": parameters}, headers=BEARER, timeout=60)
        assert refused.status_code == 400
        assert "is no MLflow model" in refused.json()["error"]
        assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).json()["model_version"] == "1"


def test_a_server_whose_files_are_not_those_that_were_downloaded_does_not_start(folders, proofs, tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(digests(folders["numbers"]) | {"model.skops": "0" * 64}))
    server = launched({}, proofs, "--model", f"numbers={folders['numbers']}", "--manifest", f"numbers={manifest}")
    assert server.process.wait(30) == 3
    assert "aren't what was downloaded: 'model.skops'" in server.log()


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(folders, proofs):
    with serving(folders, proofs, "numbers", options=("--workers", "2")) as server:

        def workers() -> list[int]:
            listed = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True
            )
            return [int(one) for one in listed.stdout.split()]

        both = eventually(lambda: found if len(found := workers()) == 2 else None, what="two workers")
        eventually(lambda: server.metric("modelyard_model_info") == 2, what="both workers ready")
        os.kill(both[0], signal.SIGKILL)
        eventually(lambda: len(now := workers()) == 2 and both[0] not in now, what="a new worker")
        eventually(lambda: server.metric("modelyard_model_info") == 2, what="both workers ready again")
        assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).status_code == 200
        assert server.stop() == 0
        assert workers() == []


def test_workers_do_not_outlive_their_parent(folders, proofs):
    with serving(folders, proofs, "numbers", options=("--workers", "2")) as server:
        server.process.kill()

        def is_gone() -> bool:
            try:
                httpx.get(f"{server.url}/v2/health/live", timeout=1)
            except httpx.TransportError:
                return True
            return False

        eventually(is_gone, what="the workers' end")


def test_a_client_that_dawdles_is_turned_away(folders, proofs):
    with (
        serving(folders, proofs, "numbers", options=("--receive-seconds", "1")) as server,
        socket.create_connection(("127.0.0.1", server.port), 10) as silent,
        socket.create_connection(("127.0.0.1", server.port), 10) as dripping,
    ):
        dripping.sendall(b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answers = [one.recv(4096) for one in (dripping, silent)]
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).status_code == 200


def test_ten_thousand_idle_connections_harm_nobody(folders, proofs):
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > wanted + 500, "this test needs more open files than this machine allows"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: list[socket.socket] = []
    try:
        with serving(folders, proofs, "numbers") as server:
            for index in range(wanted):
                one = socket.socket()
                one.bind((f"127.0.0.{2 + index // 5000}", 0))
                one.connect(("127.0.0.1", server.port))
                held.append(one)
            eventually(lambda: server.metric("modelyard_server_connections") >= wanted, what="all connections")
            began = time.monotonic()
            for _ in range(20):
                assert httpx.post(f"{server.url}/v2/models/numbers/infer", json=ROW).status_code == 200
            assert time.monotonic() - began < 10
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_connection_too_many_is_closed_at_once(folders, proofs):
    with serving(folders, proofs, "numbers", options=("--max-connections", "10")) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(10)]
        eventually(lambda: server.metric("modelyard_server_connections") >= 10, what="ten connections")
        with socket.create_connection(("127.0.0.1", server.port), 5) as one_more, suppress(ConnectionResetError):
            assert one_more.recv(10) == b""
        for one in held:
            one.close()


def test_memory_is_steady_over_many_requests(folders, proofs):
    with serving(folders, proofs, "numbers") as server:
        with Load(server, clients=6) as load:
            eventually(lambda: len(load.answers) > 2_000, seconds=60, what="2,000 answers")
            before = server.metric("process_resident_memory_bytes")
            eventually(lambda: len(load.answers) > 12_000, seconds=120, what="12,000 answers")
        grown = server.metric("process_resident_memory_bytes") - before
        assert grown < 8 * 2**20, f"10,000 requests have cost {grown / 2**20:.1f} MiB"
        assert set(load.answers) == {200}


def test_a_taken_port_is_said(folders, proofs):
    with serving(folders, proofs, "numbers") as server:
        second = subprocess.run(
            [
                "python",
                "-m",
                "modelyard.serving.server",
                "--model",
                f"n={folders['numbers']}",
                "--port",
                str(server.port),
            ],
            capture_output=True,
            text=True,
        )
        assert second.returncode == 1
        assert f"127.0.0.1:{server.port} can't be listened on: Address already in use" in second.stderr


def test_a_server_does_not_listen_to_the_world(folders):
    done = subprocess.run(
        ["python", "-m", "modelyard.serving.server", "--model", f"n={folders['numbers']}", "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "put the router in front of it" in done.stderr
