"""The payload log while its store, its writer or its server goes away: what was in the spool is stored, once."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from modelyard.serving.payloads import PayloadLog, PayloadSettings
from tests.support.payload_batches import a_batch, files_below, stored, stored_ids
from tests.support.s3_server import S3Server
from tests.support.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture
def s3(tmp_path):
    server = S3Server(tmp_path / "s3").start()
    yield server
    server.kill()


@pytest.fixture
def settings(s3, tmp_path):
    return PayloadSettings(s3.address, tmp_path / "spool", max_seconds=0.2)


@contextmanager
def a_log(settings):
    log = PayloadLog(settings)
    try:
        yield log
    finally:
        log.close(10)


class Server:
    """A process of its own with a payload log."""

    def __init__(self, settings, prefix):
        command = [sys.executable, "-m", "tests.support.recording_server", settings.to_json().decode(), prefix]
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def record(self, count):
        """Returns once the requests are in the spool."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "spooled\n"

    def writer(self):
        return eventually(lambda: writers(self.process.pid), what="the writer runs")[0]

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(settings):
    """Starts servers, each with the prefix of its ids, and kills them at the end."""
    made = []

    def start(prefix, **changed):
        made.append(Server(replace(settings, **changed), prefix))
        return made[-1]

    yield start
    for one in made:
        one.kill()


def writers(parent):
    """The writer processes that a server has started."""
    return [one for one in psutil.Process(parent).children() if "payloads.writer" in " ".join(one.cmdline())]


def my_writer():
    return eventually(lambda: writers(os.getpid()), what="the writer runs")[0]


def ids(prefix, count):
    return [f"{prefix}-{number:06d}" for number in range(count)]


def in_store(settings, expected):
    """Wait until the request ids, each once, are in the store and the spool is empty."""
    eventually(lambda: len(stored_ids(settings.store)) >= len(expected), what="all records are in the store")
    assert stored_ids(settings.store) == sorted(expected)
    eventually(lambda: files_below(settings.spool) == [], seconds=5, what="the spool is empty")


def test_what_is_recorded_while_the_store_is_down_is_stored_once_when_it_is_back(s3, settings):
    with a_log(settings) as log:
        log.add(a_batch(["before"]))
        in_store(settings, ["before"])
        s3.kill()
        log.add(a_batch(["during"]))
        eventually(lambda: log.stats().upload_failures > 0, what="an upload has failed")
        log.add(a_batch(["later"]))
        eventually(lambda: log.stats().recorded_requests == 3, what="both are spooled")
        assert log.stats().oldest_unwritten_seconds > 0
        s3.start()
        in_store(settings, ["before", "during", "later"])
        eventually(lambda: log.stats().files_written == 3, what="the writer has told")
        assert log.stats().dropped_requests == {}


def test_closing_while_the_store_is_down_is_quick_and_the_next_start_uploads(s3, settings):
    s3.kill()
    log = PayloadLog(settings)
    log.add(a_batch(["a"]))
    began = time.monotonic()
    assert not log.close(30)
    assert time.monotonic() - began < 15
    assert len(files_below(settings.spool)) == 1
    s3.start()
    with a_log(settings):
        in_store(settings, ["a"])


def test_a_full_spool_drops_what_is_new_and_says_so(s3, settings):
    s3.kill()
    small = replace(settings, max_spool_mib=0.2, max_segment_mib=0.05)
    with a_log(small) as log:
        count = 0
        while not (drops := log.stats().dropped_requests):
            log.add(a_batch([f"{count:06d}"]))
            count += 1
        eventually(lambda: log.stats().buffered_bytes == 0, what="all is decided")
        done = log.stats()
        assert set(drops) == {"spool_full"}
        assert done.recorded_requests + done.dropped_requests["spool_full"] == count
        assert done.spool_bytes <= 0.2 * MIB
        s3.start()
        eventually(lambda: log.stats().spool_bytes == 0, what="the spool is empty again")
        assert len(stored_ids(settings.store)) == done.recorded_requests
        log.add(a_batch(["again"]))
        eventually(lambda: "again" in stored_ids(settings.store), what="it records again")


def test_a_killed_servers_records_are_uploaded_by_its_writer_which_then_ends(settings, server):
    one = server("a", max_seconds=600)
    writer = one.writer()
    one.record(500)
    one.kill()
    in_store(settings, ids("a", 500))
    eventually(lambda: not writer.is_running(), what="the writer has ended")


def test_records_of_a_server_and_a_writer_that_were_killed_are_uploaded_by_the_next(settings, server):
    one = server("a", max_seconds=600)
    writer = one.writer()
    one.record(500)
    writer.suspend()
    one.kill()
    writer.kill()
    assert stored(settings.store) == {}
    server("b").record(10)
    in_store(settings, ids("a", 500) + ids("b", 10))


def test_servers_that_share_a_spool_folder_store_each_record_once(settings, server):
    both = [server(name, max_seconds=0.05) for name in "ab"]
    for _ in range(20):
        for one in both:
            one.record(25)
    in_store(settings, ids("a", 500) + ids("b", 500))


def test_a_writer_that_is_killed_over_and_over_loses_and_doubles_nothing(settings):
    count, stop = 0, threading.Event()

    def kill():
        while not stop.wait(0.35):
            for one in writers(os.getpid()):
                one.kill()

    killer = threading.Thread(target=kill)
    with a_log(replace(settings, max_seconds=0.05)) as log:
        killer.start()
        while count < 3000 or log.stats().writer_restarts < 2:
            log.add(a_batch([f"x-{count:06d}"]))
            count += 1
            time.sleep(0.001)  # the traffic, not a wait
        stop.set()
        killer.join()
        in_store(settings, ids("x", count))


def test_a_stopped_writer_leads_to_drops_and_flat_memory(settings):
    small = replace(settings, max_spool_mib=2, max_segment_mib=0.5, max_buffer_mib=8)
    with a_log(small) as log:
        writer = my_writer()
        writer.send_signal(signal.SIGSTOP)
        batch = a_batch([str(one) for one in range(100)], rows=10)
        while "spool_full" not in log.stats().dropped_requests:
            log.add(batch)
        before = psutil.Process().memory_info().rss
        for _ in range(3000):
            log.add(batch)
        assert sum(path.stat().st_size for path in settings.spool.iterdir()) <= 2 * MIB
        assert psutil.Process().memory_info().rss - before < 32 * MIB
        writer.send_signal(signal.SIGCONT)
        assert log.close(20)
        assert len(stored_ids(settings.store)) == log.stats().recorded_rows


def test_a_writer_that_is_dead_when_the_log_is_closed_is_replaced_once_more(settings):
    with a_log(replace(settings, max_seconds=600)) as log:
        writer = my_writer()
        log.add(a_batch(["a"]))
        writer.kill()
        assert log.close(10)
    assert stored_ids(settings.store) == ["a"]


def test_the_writer_outlives_the_signals_that_are_meant_for_the_server(settings):
    with a_log(settings) as log:
        writer = my_writer()
        eventually(lambda: _ignores(writer.pid, signal.SIGTERM), what="the writer is set up")
        writer.terminate()
        log.add(a_batch(["a"]))
        assert log.close(10)
        assert log.stats().writer_restarts == 0


def test_a_writer_that_hangs_does_not_hold_up_the_end(settings):
    log = PayloadLog(settings)
    writer = my_writer()
    log.add(a_batch(["a"]))
    writer.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert not log.close(1)
    assert time.monotonic() - began < 5
    assert not writer.is_running()
    with a_log(settings):
        in_store(settings, ["a"])


def _ignores(pid, number):
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) & 1 << (number - 1))
