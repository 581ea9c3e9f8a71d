"""Servers that are away while they are needed: what was acknowledged is there afterwards."""

import os
import signal
import threading
import time

import mlflow
import pytest

from tests.support.waiting import eventually


@pytest.fixture
def client(broken, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    return mlflow.MlflowClient(broken.descriptor.tracking_server.url)


def test_metrics_logged_while_the_database_is_killed_are_all_there(broken, client):
    run = client.create_run("0").info.run_id
    killer = threading.Thread(target=_kill_repeatedly, args=(broken, "postgres", 3))
    killer.start()
    step = 0
    while killer.is_alive() or step < 50:
        client.log_metric(run, "loss", float(step), step=step)
        step += 1
    killer.join()
    history = client.get_metric_history(run, "loss")
    assert [metric.step for metric in history] == list(range(step))


def _kill_repeatedly(platform, name, times):
    for _ in range(times):
        pid = platform.pids()[name]
        if pid:
            os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        eventually(lambda: platform.pids()[name], what=f"{name} is back")


def test_an_upload_during_which_the_store_is_killed_ends_complete(broken, client, tmp_path):
    run = client.create_run("0").info.run_id
    big = tmp_path / "weights.bin"
    big.write_bytes(os.urandom(1024 * 1024) * 64)
    killer = threading.Thread(target=_kill_repeatedly, args=(broken, "versitygw", 1))
    killer.start()
    _until_it_succeeds(lambda: client.log_artifact(run, str(big)))
    killer.join()
    back = client.download_artifacts(run, "weights.bin", str(_folder(tmp_path)))
    assert _same(big, back)


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
