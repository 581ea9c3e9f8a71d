"""Python environments of their own, for packages that don't go together with the project's: one per lock file.

An environment is made under a lock when it is asked for the first time, and counts once it is whole.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from toolbox import cache, progress


def python(name: str, lock: Path, what: str, *, beside: Path | None = None) -> Path:
    """An interpreter that has what a lock file says.

    Args:
        name: Of the folder in the cache.
        lock: Packages with hashes, as `uv pip compile --generate-hashes` writes them.
        what: Said while it is made.
        beside: A folder of packages (`site-packages`) that it sees besides.

    Raises:
        subprocess.CalledProcessError: the packages can't be had; uv has said why.
    """
    digest = hashlib.sha256(lock.read_bytes() + str(beside or "").encode()).hexdigest()[:16]
    folder = cache.root() / name / digest
    found = folder / "bin" / "python"
    with cache.locked(name), progress.doing(what):
        if not (folder / "whole").exists():
            _make(folder, found, lock, beside)
    return found


def _make(folder: Path, python: Path, lock: Path, beside: Path | None) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    sync = [uv, "pip", "sync", "--quiet", "--no-cache", "--require-hashes", "--python", python, lock]
    subprocess.run(sync, check=True)
    if beside:
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "project.pth").write_text(f"import site; site.addsitedir({str(beside)!r})\n")
    (folder / "whole").touch()
