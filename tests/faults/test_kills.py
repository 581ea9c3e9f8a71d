"""`kill -9` of anything: it comes back by itself or with the next `up`, and `down` leaves nothing."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from modelyard.processes.ports import is_free
from modelyard.processes.sweep import strays
from tests.support.local_platform import succeeded
from tests.support.waiting import eventually

PROCESSES = [
    *("postgres", "versitygw", "mlflow", "serving-agent", "envoy", "prometheus", "alertmanager"),
    *("pushgateway", "node-exporter", "postgres-exporter", "blackbox-exporter"),
]


def running(platform, name):
    return next(p for p in platform.supervisor.status() if p.name == name).state == "running"


def test_the_list_of_processes_is_complete(broken):
    assert sorted(broken.pids()) == sorted(PROCESSES)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_comes_back_by_itself(broken, name):
    before = broken.pids()[name]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: broken.pids()[name] not in (None, before) and running(broken, name), what=f"{name} runs again")


def test_up_mends_a_process_that_was_taken_out_by_hand(broken):
    broken.supervisor.remove("pushgateway")
    said = succeeded(broken.run("up", "--stack", broken.stack)).stderr
    assert "pushgateway: it is not there" in said
    assert running(broken, "pushgateway")


def test_up_mends_an_altered_file(broken):
    path = broken.folder / "monitoring" / "prometheus.yml"
    before = path.read_text()
    path.write_text("global: {}\n")
    succeeded(broken.run("up", "--stack", broken.stack))
    assert path.read_text() == before


def test_up_brings_everything_back_after_the_supervisor_was_killed(broken):
    pids = [pid for pid in broken.pids().values() if pid]
    os.kill(psutil.Process(pids[0]).ppid(), signal.SIGKILL)
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), what="every child died with it")
    succeeded(broken.run("up", "--stack", broken.stack))
    assert {process.state for process in broken.supervisor.status()} == {"running"}


def started_up(platform, until, seconds=60):
    """An `up` in the background, once `until` is true of it."""
    import subprocess

    from tests.support.local_platform import MODELYARD, ROOT

    process = subprocess.Popen(
        [str(MODELYARD), "up", "--stack", platform.stack],
        env=platform.env,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: until() or process.poll() is not None, seconds=seconds, what="`up` is half way")
    assert process.poll() is None, "`up` ended before it could be killed"
    return process


def kill_engine(process):
    engine = next(child for child in psutil.Process(process.pid).children() if child.name() == "pulumi")
    engine.kill()
    process.kill()
    process.wait(10)


def half_way(platform):
    return lambda: platform.supervisor.spec("postgres") is not None


def test_up_goes_on_after_one_that_was_killed_half_way(fresh):
    kill_engine(started_up(fresh, half_way(fresh)))
    done = succeeded(fresh.run("up", "--stack", fresh.stack))
    assert "was killed; its lock is cleared" in done.stderr
    assert {process.state for process in fresh.supervisor.status()} == {"running"}


def test_a_state_whose_attributes_were_half_written_is_read(broken):
    """As an engine of an earlier version left it that was killed while it wrote."""
    attributes = broken.state_file.with_name(f"{broken.state_file.name}.attrs")
    assert not attributes.exists(), "the engine writes attributes, which is not done in one go"
    attributes.touch()
    succeeded(broken.run("up", "--stack", broken.stack))
    assert not attributes.exists()


def test_down_after_an_up_that_was_killed_half_way_leaves_nothing(fresh):
    kill_engine(started_up(fresh, half_way(fresh)))
    ports = [port for spec in fresh.supervisor.specs() for port in spec.ports]
    succeeded(fresh.run("down", "--stack", fresh.stack))
    assert not fresh.folder.exists()
    assert not fresh.state_file.exists()
    assert strays(fresh.folder) == []
    assert [port for port in ports if not is_free(port)] == []


def test_down_after_the_supervisor_was_killed_leaves_nothing(fresh):
    succeeded(fresh.run("up", "--stack", fresh.stack))
    os.kill(psutil.Process(fresh.pids()["envoy"]).ppid(), signal.SIGKILL)
    ports = [port for spec in fresh.supervisor.specs() for port in spec.ports]
    succeeded(fresh.run("down", "--stack", fresh.stack))
    assert not fresh.folder.exists()
    assert strays(fresh.folder) == []
    assert [port for port in ports if not is_free(port)] == []


def shared_memory():
    """What servers left outside of any folder: files of /dev/shm, and System V segments nobody uses."""
    files = {path.name for path in Path("/dev/shm").glob("PostgreSQL.*")}
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return files | {line.split()[1] for line in lines if line.split()[6] == "0"}


def test_a_killed_database_leaves_no_shared_memory_behind(fresh):
    before = shared_memory()
    succeeded(fresh.run("up", "--stack", fresh.stack))
    pids = fresh.pids()
    os.kill(psutil.Process(pids["postgres"]).ppid(), signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pids["postgres"]), what="the database died with its supervisor")
    succeeded(fresh.run("down", "--stack", fresh.stack))
    assert shared_memory() - before == set()


def test_a_second_up_at_the_same_time_is_refused_and_the_first_succeeds(fresh):
    first = started_up(fresh, half_way(fresh))
    second = fresh.run("up", "--stack", fresh.stack)
    assert second.returncode in (1, 2)
    assert "another command works on" in second.stderr
    assert first.wait(120) == 0


def test_ctrl_c_in_the_terminal_of_up_does_not_reach_the_platform(fresh):
    import subprocess

    from tests.support.local_platform import MODELYARD, ROOT

    process = subprocess.Popen(
        [str(MODELYARD), "up", "--stack", fresh.stack],
        env=fresh.env,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: fresh.pids().get("postgres"), what="postgres runs")
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    time.sleep(0.5)
    assert fresh.pids()["postgres"]
    succeeded(fresh.run("up", "--stack", fresh.stack))
