"""Run a process's readiness check once."""

import subprocess
import urllib.error
import urllib.request

from modelyard.processes.spec import Check, HttpCheck

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must never answer for loopback


def is_ready(check: Check, *, timeout: float = 2.0) -> bool:
    """Whether the check passes now.

    Args:
        check: What to ask.
        timeout: Seconds until no answer counts as not ready.
    """
    if isinstance(check, HttpCheck):
        return _http_status(check.url, timeout) == check.status
    try:
        done = subprocess.run(check.command, capture_output=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _http_status(url: str, timeout: float) -> int | None:
    try:
        with _DIRECT.open(url, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None
