"""Become one supervised process: read its specification, wait out the back-off, fill in secrets, exec.

Run as `python -I -S launch.py SPEC`, by the supervisor, at every start. Standard library only, because it
is in front of every start, and `exec`s, so that the supervisor's child is the program itself.

`launch.py --as ACCOUNT COMMAND …` only changes the account: a process with gRPC threads can't do that in a
fork of its own (gRPC's fork handlers crash the child), but it can start this.
"""

import ctypes
import json
import os
import pwd
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

STEADY_SECONDS = 60.0  # a run at least this long was not a crash at start: the back-off begins anew
LONGEST_DELAY_SECONDS = 30.0
PLATFORM_VARIABLE = "MODELYARD_PLATFORM"  # marks every process of a platform, so that a sweep finds strays
PR_SET_PDEATHSIG = 1


def back_off_seconds(quick_exits: int) -> float:
    """0, 0.5, 1, 2, … seconds, never more than `LONGEST_DELAY_SECONDS`."""
    return 0.0 if quick_exits == 0 else float(min(LONGEST_DELAY_SECONDS, 0.25 * 2 ** min(quick_exits, 10)))


def note_start(starts: Path, now: float) -> float:
    """Record this start, and return the seconds to wait before it."""
    try:
        last = json.loads(starts.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        last = {"count": 0, "quick_exits": 0, "at": None}
    steady = last["at"] is None or now - last["at"] >= STEADY_SECONDS
    quick_exits = 0 if steady else last["quick_exits"] + 1
    delay = back_off_seconds(quick_exits)
    with suppress(OSError):  # a full disk must not keep a process from starting
        starts.write_text(json.dumps({"count": last["count"] + 1, "quick_exits": quick_exits, "at": now + delay}))
    return delay


def starts(record: Path) -> int:
    """How often the process was started since it was put under supervision."""
    try:
        return int(json.loads(record.read_text())["count"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def last_start(record: Path) -> float:
    """When the process was started last, in seconds since 1970; 0 if that is not known."""
    try:
        return float(json.loads(record.read_text())["at"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0.0


def environment(spec: dict[str, Any], platform: Path) -> dict[str, str]:
    """The process's whole environment: nothing of the supervisor's leaks into it."""
    inherited = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(platform)}
    secrets = {
        variable: (platform / "secrets" / name).read_text().strip() for variable, name in spec["secret_env"].items()
    }
    own: dict[str, str] = spec["env"]
    return inherited | own | secrets | {PLATFORM_VARIABLE: str(platform)}


def drop_to(account: str) -> None:
    """Give up being root for good."""
    user = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def die_with(supervisor: int) -> None:
    """Ask the kernel to kill this process when the supervisor dies: no orphan may keep a port."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("[modelyard] the supervisor died before its child could ask to die with it")


def main(spec_path: Path) -> None:
    platform = spec_path.parent.parent
    spec = json.loads(spec_path.read_text())
    supervisor = int((spec_path.parent / "supervisord.pid").read_text())
    die_with(supervisor)
    delay = note_start(spec_path.with_suffix(".starts"), time.time())
    if delay:
        print(f"[modelyard] {spec['name']}: it exited early; next start in {delay:g} s", file=sys.stderr, flush=True)
        time.sleep(delay)
    env = environment(spec, platform)
    os.chdir(platform / spec["folder"])
    if spec["account"] and os.geteuid() == 0:
        drop_to(spec["account"])
        die_with(supervisor)  # a change of account clears the request
    os.execve(spec["command"][0], spec["command"], env)


if __name__ == "__main__":
    if sys.argv[1] == "--as":
        drop_to(sys.argv[2])
        os.execv(sys.argv[3], sys.argv[3:])
    main(Path(sys.argv[1]))
