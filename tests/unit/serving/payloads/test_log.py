import threading
from itertools import pairwise

import psutil

from modelyard.serving.payloads import PayloadLog
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
