import json
import os
import signal
import stat
import threading
import time
import urllib.request

import psutil
import pytest

from modelyard.errors import ModelyardError
from modelyard.processes import CommandCheck, StartFailed, Supervisor
from modelyard.processes.marked import lives
from modelyard.processes.ports import is_free
from modelyard.processes.sweep import strays, sweep


def ask(spec, path=""):
    with urllib.request.urlopen(f"http://127.0.0.1:{spec.ports[0]}/{path}", timeout=2) as answer:
        return answer.read().decode()


def pid_of(supervisor, name="web"):
    return next(process.pid for process in supervisor.status() if process.name == name)


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def test_a_process_runs_after_put(supervisor, web):
    supervisor.put(web())
    assert [process.state for process in supervisor.status()] == ["running"]


def test_putting_the_same_process_again_leaves_it_alone(supervisor, web):
    spec = web()
    supervisor.put(spec)
    before = pid_of(supervisor)
    supervisor.put(spec)
    assert pid_of(supervisor) == before


def test_a_changed_process_is_restarted(supervisor, web):
    spec = web()
    supervisor.put(spec)
    supervisor.put(spec.model_copy(update={"env": {"COLOUR": "green"}}))
    assert ask(spec, "COLOUR") == "green"


def test_nothing_of_the_callers_environment_leaks_in(supervisor, web, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_THE_CALLER", "secret")
    spec = web()
    supervisor.put(spec)
    assert ask(spec, "TOKEN_OF_THE_CALLER") == ""


def test_a_secret_reaches_the_process_but_not_its_arguments_or_specification(supervisor, web):
    supervisor.secrets.ensure("door")
    secret = supervisor.secrets.read("door")
    spec = web(secret_env={"KEY": "door"})
    supervisor.put(spec)
    assert ask(spec, "KEY") == secret
    assert secret not in " ".join(psutil.Process(pid_of(supervisor)).cmdline())
    assert secret not in (supervisor.folder / "supervisor" / "web.json").read_text()


def test_files_are_private_filled_in_and_removed_with_the_process(supervisor, web):
    supervisor.secrets.ensure("door")
    supervisor.put(web(files={"conf/web.ini": "key = ${secret:door}\n"}))
    path = supervisor.folder / "conf" / "web.ini"
    assert path.read_text() == f"key = {supervisor.secrets.read('door')}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    supervisor.remove("web")
    assert not path.exists()


def test_a_killed_process_comes_back(supervisor, web):
    spec = web()
    supervisor.put(spec)
    before = pid_of(supervisor)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid_of(supervisor) not in (None, before) and supervisor.difference(spec, patience=5) is None)


def test_a_crashing_process_is_restarted_without_end_and_ever_more_slowly(supervisor):
    spec = _crashing()
    supervisor.put(spec, wait=False)
    eventually(lambda: supervisor.status()[0].starts >= 4)
    assert "next start in 1 s" in supervisor.log_tail("crashing")


def _crashing():
    from modelyard.processes import ProcessSpec

    return ProcessSpec(name="crashing", command=("/bin/false",), ready=CommandCheck(command=("/bin/false",)))


def test_a_process_that_does_not_start_shows_its_last_lines_and_leaves_nothing(supervisor, failing):
    with pytest.raises(StartFailed, match="no such table: cats"):
        supervisor.put(failing)
    assert supervisor.specs() == []


def test_a_failed_change_leaves_the_old_process_running_and_shows_its_own_last_lines_only(supervisor, web, failing):
    spec = web()
    saying = ("/bin/sh", "-c", 'echo the good old days; exec "$@"', "sh", *spec.command)
    spec = spec.model_copy(update={"command": saying})
    supervisor.put(spec)
    assert "the good old days" in supervisor.log_tail("web")
    with pytest.raises(StartFailed, match="no such table: cats") as error:
        supervisor.put(failing)
    assert "the good old days" not in str(error.value)
    eventually(lambda: supervisor.difference(spec, patience=0) is None)


def test_a_taken_port_is_refused_and_says_by_whom(supervisor, web):
    spec = web()
    supervisor.put(spec)
    with pytest.raises(StartFailed, match=rf"port {spec.ports[0]} is in use by python\S* \(pid {pid_of(supervisor)}"):
        supervisor.put(spec.model_copy(update={"name": "other"}))


def test_an_altered_file_is_noticed_and_mended(supervisor, web):
    spec = web(files={"conf/web.ini": "colour = green\n"})
    supervisor.put(spec)
    (supervisor.folder / "conf" / "web.ini").write_text("colour = red\n")
    assert supervisor.difference(spec) == "its file conf/web.ini was altered"
    supervisor.put(spec)
    assert supervisor.difference(spec) is None


def test_a_process_that_hangs_is_noticed(supervisor, web):
    spec = web(stop_seconds=1)
    supervisor.put(spec)
    _started_long_ago(supervisor, spec)
    os.kill(pid_of(supervisor), signal.SIGSTOP)
    assert supervisor.difference(spec, patience=0.1) == "it does not answer its readiness check"


def _started_long_ago(supervisor, spec):
    """As if it had had all the time that a start may take."""
    record = supervisor.folder / "supervisor" / f"{spec.name}.starts"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"at": time.time() - spec.ready_seconds}))


def test_children_die_with_a_killed_supervisor(own_supervisor, web):
    spec = web()
    own_supervisor.put(spec)
    child = psutil.Process(pid_of(own_supervisor))
    os.kill(child.ppid(), signal.SIGKILL)
    eventually(lambda: not lives(child) and is_free(spec.ports[0]))


def test_a_killed_supervisor_is_replaced_with_all_it_had(own_supervisor, web):
    first, second = web("first"), web("second")
    own_supervisor.put(first)
    own_supervisor.put(second)
    os.kill(psutil.Process(pid_of(own_supervisor, "first")).ppid(), signal.SIGKILL)
    eventually(lambda: not own_supervisor.is_running())
    own_supervisor.start_all()
    assert {process.state for process in own_supervisor.status()} == {"running"}


def test_stop_and_start_lose_nothing(own_supervisor, web):
    spec = web()
    own_supervisor.put(spec)
    own_supervisor.stop_all()
    assert own_supervisor.status()[0].state == "stopped"
    assert is_free(spec.ports[0])
    own_supervisor.start_all()
    assert own_supervisor.difference(spec) is None


def test_a_process_starts_after_those_it_needs(own_supervisor, web):
    first, second = web("first"), web("second", after=("first",))
    own_supervisor.put(first)
    own_supervisor.put(second)
    own_supervisor.stop_all()
    own_supervisor.start_all()
    started = {name: psutil.Process(pid_of(own_supervisor, name)).create_time() for name in ("first", "second")}
    assert started["first"] < started["second"]


def test_the_supervisor_is_in_a_session_of_its_own(supervisor, web):
    supervisor.put(web())
    parent = psutil.Process(pid_of(supervisor)).ppid()
    assert os.getsid(parent) != os.getsid(0)


def test_a_folder_too_deep_for_a_socket_is_refused(tmp_path):
    with pytest.raises(ModelyardError, match="too long for a socket"):
        Supervisor(tmp_path / ("x" * 100)).daemon.ensure_running()


def test_a_sweep_finds_what_the_supervisor_does_not_know(own_supervisor, web):
    import subprocess

    own_supervisor.put(web())
    stray = subprocess.Popen(["/bin/sleep", "60"], env={"MODELYARD_PLATFORM": str(own_supervisor.folder)})
    said = sweep(own_supervisor.folder)
    assert said == [f"sleep (pid {stray.pid})"]
    assert stray.wait(5) != 0
    assert not own_supervisor.folder.exists()
    assert strays(own_supervisor.folder) == []


def test_everything_below_the_folder_is_private(supervisor, web):
    supervisor.put(web(files={"conf/web.ini": "x"}))
    supervisor.secrets.ensure("door")
    readable = [
        path for path in supervisor.folder.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert readable == []


def test_a_failed_mend_leaves_the_process_under_supervision(own_supervisor, web):
    import socket

    spec = web()
    own_supervisor.put(spec)
    own_supervisor.stop_all()
    with socket.create_server(("127.0.0.1", spec.ports[0])), pytest.raises(StartFailed):
        own_supervisor.put(spec)
    assert [found.name for found in own_supervisor.specs()] == ["web"]


def test_a_file_that_a_change_leaves_out_is_removed(supervisor, web):
    spec = web(files={"rules/a": "1", "rules/b": "2"})
    supervisor.put(spec)
    supervisor.put(spec.model_copy(update={"files": {"rules/a": "1"}}))
    assert [path.name for path in (supervisor.folder / "rules").iterdir()] == ["a"]


def test_a_changed_secret_is_noticed_and_reaches_the_process(supervisor, web):
    supervisor.secrets.ensure("door")
    spec = web(secret_env={"KEY": "door"})
    supervisor.put(spec)
    supervisor.secrets.path("door").unlink()
    supervisor.secrets.ensure("door")
    assert supervisor.difference(spec) == "a secret of its environment was changed"
    supervisor.put(spec)
    assert ask(spec, "KEY") == supervisor.secrets.read("door")


def test_a_supervisor_whose_socket_was_deleted_is_replaced(own_supervisor, web):
    spec = web()
    own_supervisor.put(spec)
    (own_supervisor.folder / "supervisor" / "supervisord.sock").unlink()
    own_supervisor.put(spec)
    assert own_supervisor.difference(spec) is None


def test_a_process_that_was_just_started_gets_its_time_before_it_counts_as_hung(supervisor, web):
    spec = web(ready_seconds=30)
    supervisor.put(spec)
    before = pid_of(supervisor)
    os.kill(before, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (before, signal.SIGCONT)).start()
    supervisor.put(spec)
    assert pid_of(supervisor) == before
