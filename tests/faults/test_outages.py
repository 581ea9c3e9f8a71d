"""Servers that are away while they are needed: what was acknowledged is there afterwards."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import mlflow
import psutil
import pytest

from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024


@pytest.fixture
def client(broken, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    return mlflow.MlflowClient(broken.descriptor.tracking_server.url)


def test_metrics_logged_while_the_database_is_killed_are_all_there(broken, client):
    run = client.create_run("0").info.run_id
    step = 0
    with ThreadPoolExecutor(1) as thread:
        killer = thread.submit(_kill_repeatedly, broken, "postgres", 3)
        while not killer.done() or step < 50:
            client.log_metric(run, "loss", float(step), step=step)
            step += 1
    assert len(set(killer.result())) == 3
    history = client.get_metric_history(run, "loss")
    assert [metric.step for metric in history] == list(range(step))


def _kill_repeatedly(platform, name, times):
    """Kill a process each time that it is back; says which were killed."""
    killed = []
    for _ in range(times):
        pid = eventually(lambda: platform.pids()[name], what=f"{name} runs")
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
        eventually(lambda: platform.pids()[name] not in (None, killed[-1]), what=f"{name} is back")
        time.sleep(1)
    return killed


def test_an_upload_during_which_the_store_is_killed_ends_complete(broken, client, tmp_path):
    run = client.create_run("0").info.run_id
    big = tmp_path / "weights.bin"
    big.write_bytes(os.urandom(MEBIBYTE) * 128)
    store = psutil.Process(broken.pids()["versitygw"])
    with ThreadPoolExecutor(1) as thread:
        upload = thread.submit(_until_it_succeeds, lambda: client.log_artifact(run, str(big)))
        _kill_once_it_writes(store)
        assert not upload.done()
        assert list((broken.folder / "artifact_store").rglob("weights.bin")) == []
        upload.result()
    assert broken.pids()["versitygw"] not in (None, store.pid)
    back = client.download_artifacts(run, "weights.bin", str(_folder(tmp_path)))
    assert _same(big, back)


def _kill_once_it_writes(process, seconds=30):
    before, deadline = process.io_counters().write_chars, time.monotonic() + seconds
    while process.io_counters().write_chars < before + MEBIBYTE:
        assert time.monotonic() < deadline, "the upload never began"
        time.sleep(0.001)
    process.kill()


def _folder(tmp_path):
    folder = tmp_path / "back"
    folder.mkdir()
    return folder


def _same(one, other):
    import filecmp

    return filecmp.cmp(one, other, shallow=False)


def _until_it_succeeds(call, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except mlflow.exceptions.MlflowException:
            assert time.monotonic() < deadline, "the upload never succeeded"
            time.sleep(0.5)


def test_an_upload_to_a_store_that_stays_away_is_an_error_and_leaves_no_artifact(broken, client, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    run = client.create_run("0").info.run_id
    (tmp_path / "note.txt").write_text("x")
    pid = broken.pids()["versitygw"]
    spec = broken.supervisor.spec("versitygw")
    broken.supervisor.remove("versitygw")
    with pytest.raises(mlflow.exceptions.MlflowException):
        client.log_artifact(run, str(tmp_path / "note.txt"))
    broken.supervisor.put(spec)
    assert broken.pids()["versitygw"] != pid
    assert client.list_artifacts(run) == []
