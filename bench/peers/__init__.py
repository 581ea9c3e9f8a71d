"""The environment of servers that are compared with: their packages don't go together with the project's own."""

import hashlib
import subprocess
import sys
from pathlib import Path

from bench.wrk import cache

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"


def python() -> Path:
    """An interpreter that has them, made as requirements.lock says unless it is there already."""
    folder = cache.root() / "bench-peers" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    found = folder / "bin" / "python"
    if not (folder / "whole").exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, folder], check=True, capture_output=True)
        subprocess.run(
            [uv, "pip", "sync", "--require-hashes", "--python", found, LOCK], check=True, capture_output=True
        )
        (folder / "whole").touch()
    return found
