import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from modelyard.serving.payloads import Matrix, PayloadBatch, PayloadLog
from modelyard.serving.payloads.layout import value_in
from tests.support.payload_batches import a_batch, content_of, files_below, stored, stored_ids
from tests.support.waiting import eventually


def the_writer(settings):
    """The process that works on a spool folder: all writers here are children of the test."""
    return [one for one in psutil.Process().children() if "payloads.writer" in " ".join(one.cmdline())]


def test_closing_brings_everything_to_the_store(a_log, settings):
    log = a_log()
    for number in range(300):
        log.add(a_batch([f"{number:03d}"]))
    assert log.close(10)
    assert stored_ids(settings.store) == [f"{number:03d}" for number in range(300)]
    assert files_below(settings.spool) == []
    done = log.stats()
    assert (done.recorded_requests, done.rows_written, done.files_written) == (300, 300, 1)
    assert (done.buffered_bytes, done.spool_bytes, done.dropped_requests) == (0, 0, {})


def test_files_are_partitioned_by_model_version_and_utc_day(a_log, settings):
    log = a_log()
    log.add(a_batch(model="bike demand/new", version="3", time_ns=1_767_225_599_999_999_999))
    log.add(a_batch(model="bike demand/new", version="3", time_ns=1_767_225_600_000_000_000))
    log.close()
    keys = list(stored(settings.store))
    assert [key.rpartition("/")[0] for key in keys] == [
        f"payloads/model=bike demand%2Fnew/version=3/day={day}" for day in ("2025-12-31", "2026-01-01")
    ]
    assert value_in(keys[0], "model") == "bike demand/new"


def test_a_segment_is_uploaded_once_it_is_old_enough(a_log, settings):
    log = a_log(max_seconds=0.2)
    log.add(a_batch(["a"]))
    eventually(lambda: stored_ids(settings.store) == ["a"], seconds=10, what="the record is in the store")


def test_redacted_columns_reach_neither_spool_nor_store(a_log, settings):
    log = a_log(redact=frozenset({"secret", "count"}))
    log.add(a_batch(["a"]))
    eventually(lambda: log.stats().recorded_requests == 1, what="it is in the spool")
    assert not any(b"secret" in content for content in content_of(settings.spool))
    log.close()
    (table,) = stored(settings.store).values()
    assert table.column_names[4:] == ["input.temperature", "input.wind"]


def test_a_share_of_the_requests_is_recorded(a_log):
    log, asked = a_log(sample=0.1), 20_000
    wanted = sum(log.wants() for _ in range(asked))
    assert abs(wanted - 2000) < 5 * (asked * 0.1 * 0.9) ** 0.5


def test_all_requests_are_recorded_without_a_share(a_log):
    log = a_log()
    assert all(log.wants() for _ in range(1000))


def test_two_requests_in_a_row_are_recorded_as_often_as_chance_has_it(a_log):
    log = a_log(sample=0.5)
    picks = [log.wants() for _ in range(20_000)]
    pairs = sum(one and other for one, other in pairwise(picks))
    assert abs(pairs - 5000) < 400


def test_a_model_that_seeds_the_shared_generator_does_not_choose_for_us(a_log):
    import random

    log = a_log(sample=0.5)
    picks = []
    for _ in range(200):
        random.seed(0)
        picks.append(log.wants())
    assert 20 < sum(picks) < 180


@pytest.mark.parametrize(
    "broken",
    [
        PayloadBatch("bike", "1", 0, ["a"], [1], Matrix(("x",), np.zeros((5, 1))), {}),
        PayloadBatch("bike", "1", 0, ["a"], [1, 1], Matrix(("x",), np.zeros((2, 1))), {}),
        PayloadBatch("bike", "1", 0, ["a"], None, Matrix(("x",), np.zeros((1, 1))), {}),
        PayloadBatch("bike", "1", 0, ["a"], [1], None, {}),
        PayloadBatch("bike", "1", "now", ["a"], [1], Matrix(("x",), np.zeros((1, 1))), {}),
        PayloadBatch("bike", "1", 0, ["a"], [1], Matrix(("x",), np.zeros((1, 1))), {"y": [1.0]}),
    ],
)
def test_a_batch_that_is_not_one_is_counted_and_the_others_are_stored(a_log, settings, broken):
    log = a_log()
    for batch in (a_batch(["good"]), broken, a_batch(["too"])):
        log.add(batch)
    log.close()
    assert log.stats().dropped_requests == {"not_storable": 1}
    assert stored_ids(settings.store) == ["good", "too"]


def test_more_than_the_buffer_takes_is_counted(a_log):
    log = a_log(max_buffer_mib=0.01)
    for number in range(1000):
        log.add(a_batch([str(number)]))
    assert log.stats().buffered_bytes <= 0.01 * 1024 * 1024
    log.close()
    done = log.stats()
    assert done.dropped_requests["buffer_full"] > 0
    assert done.recorded_requests + done.dropped_requests["buffer_full"] == 1000


def test_nothing_is_recorded_after_closing(a_log):
    log = a_log()
    log.close()
    log.add(a_batch(["a", "b"]))
    assert log.stats().dropped_requests == {"closed": 2}


def test_threads_may_add_at_once(a_log, settings):
    log = a_log()
    threads = [
        threading.Thread(target=lambda name=name: [log.add(a_batch([f"{name}{at:03d}"])) for at in range(200)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(set(stored_ids(settings.store))) == 800


def test_a_stopped_writer_leads_to_drops_and_flat_memory(a_log, settings):
    log = a_log(max_spool_mib=2, max_segment_mib=0.5, max_buffer_mib=8)
    (writer,) = eventually(lambda: the_writer(settings), what="the writer runs")
    writer.send_signal(signal.SIGSTOP)
    batch, deadline = a_batch([str(one) for one in range(100)], rows=10), time.monotonic() + 20
    while "spool_full" not in log.stats().dropped_requests and time.monotonic() < deadline:
        log.add(batch)
    before = psutil.Process().memory_info().rss
    for _ in range(3000):
        log.add(batch)
    spool = sum(path.stat().st_size for path in settings.spool.iterdir())
    assert log.stats().dropped_requests["spool_full"] > 0
    assert spool <= 2 * 1024 * 1024
    assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024
    writer.send_signal(signal.SIGCONT)
    assert log.close(10)
    assert len(stored_ids(settings.store)) == log.stats().recorded_rows


def test_a_killed_writer_is_replaced_and_nothing_is_lost(a_log, settings):
    log = a_log(max_seconds=0.1)
    (first,) = eventually(lambda: the_writer(settings), what="the writer runs")
    log.add(a_batch(["before"]))
    first.kill()
    log.add(a_batch(["after"]))
    eventually(lambda: stored_ids(settings.store) == ["after", "before"], seconds=10, what="both are in the store")
    assert log.stats().writer_restarts == 1
    assert the_writer(settings)[0].pid != first.pid


def test_a_writer_that_is_dead_when_the_log_is_closed_is_replaced_once_more(a_log, settings):
    log = a_log()
    (writer,) = eventually(lambda: the_writer(settings), what="the writer runs")
    log.add(a_batch(["a"]))
    writer.kill()
    assert log.close(10)
    assert stored_ids(settings.store) == ["a"]


def test_an_unreadable_segment_is_set_aside_and_does_not_hold_up_the_others(a_log, settings):
    log = a_log(max_seconds=0.1)
    settings.spool.mkdir(exist_ok=True)
    bad = settings.spool / f"{1:020d}-aa-000001.segment"
    bad.mkdir()
    log.add(a_batch(["a"]))
    eventually(lambda: stored_ids(settings.store) == ["a"], seconds=10, what="the other is in the store")
    bad_now = bad.with_suffix(".unreadable") if not bad.exists() else bad
    bad_now.rmdir()


def test_a_spool_that_cannot_be_written_is_counted(a_log, settings, tmp_path):
    (tmp_path / "a-file").touch()
    log = a_log(spool=tmp_path / "a-file" / "spool")
    log.add(a_batch(["a"]))
    eventually(lambda: log.stats().dropped_requests == {"spool_failed": 1}, what="it is counted")
    log.add(a_batch(["b"]))
    eventually(lambda: log.stats().dropped_requests == {"spool_failed": 2}, what="the log still runs")


def test_no_process_is_left_and_no_secret_is_on_a_command_line(settings):
    log = PayloadLog(settings)
    (writer,) = eventually(lambda: the_writer(settings), what="the writer runs")
    assert writer.cmdline()[1:] == ["-m", "modelyard.serving.payloads.writer"]
    log.close()
    assert not writer.is_running()


def test_the_writer_outlives_the_signals_that_are_meant_for_the_server(a_log, settings):
    log = a_log()
    (writer,) = eventually(lambda: the_writer(settings), what="the writer runs")
    eventually(lambda: _ignores(writer.pid, signal.SIGTERM), what="the writer is set up")
    os.kill(writer.pid, signal.SIGTERM)
    log.add(a_batch(["a"]))
    assert log.close(10)
    assert log.stats().writer_restarts == 0


def _ignores(pid, number):
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) & 1 << (number - 1))
