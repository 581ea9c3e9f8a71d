"""The load generator wrk, from Debian's package, unpacked into the cache of tools/ and never installed."""

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from toolbox import cache

PACKAGES = ("wrk", "libluajit-5.1-2")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw; latencies in milliseconds."""

    requests_per_second: float
    p50: float
    p99: float


def program() -> tuple[str, dict[str, str]]:
    """Where wrk is, and the environment that it needs."""
    if found := shutil.which("wrk"):
        return found, {}
    folder = cache.root() / "wrk"
    if not (folder / "usr/bin/wrk").exists():
        fresh = Path(tempfile.mkdtemp(dir=cache.root()))
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=fresh, check=True, capture_output=True)
        for file in fresh.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, fresh / "root"], check=True)
        (fresh / "root").rename(folder)
        shutil.rmtree(fresh)
    library = next(folder.rglob("libluajit-5.1.so.2")).parent
    return str(folder / "usr/bin/wrk"), {"LD_LIBRARY_PATH": str(library)}


def run(url: str, body: bytes, *, connections: int, seconds: float, pause_ms: int = 0) -> Load:
    """Ask as fast as answers come, on so many connections.

    Args:
        url: What to POST to.
        body: JSON.
        connections: How many ask at the same time.
        seconds: For how long; wrk knows whole ones only.
        pause_ms: How long each connection waits between an answer and its next request.

    Raises:
        AssertionError: an answer was no 2xx, or a connection failed.
    """
    command, env = program()
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "body").write_bytes(body)
        script = Path(place) / "post.lua"
        wait = f"function delay() return math.random(0, {2 * pause_ms}) end\n" if pause_ms else ""
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f'wrk.body = io.open("{place}/body"):read("*a")\n{wait}'
        )
        done = subprocess.run(
            [
                command,
                "-t1",
                f"-c{connections}",
                f"-d{math.ceil(seconds)}",
                "--timeout",
                "20",
                "--latency",
                "-s",
                script,
                url,
            ],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        )
    said = done.stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    quantiles = {
        one: float(value) * _UNITS[unit] for one, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)
    }
    assert rate, said
    return Load(float(rate[1]), quantiles["50"], quantiles["99"])
