"""Prints the interpreter that has PyTorch, and makes its environment first if it isn't there.

PyPI's PyTorch for Linux on x86-64 comes with all of CUDA: 3 GB to download, 5 GB on disk. So it is in no other
environment, and no other test needs it. This one holds what requirements.lock says, over the project's own packages.
"""

import hashlib
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).with_name("requirements.lock")
sys.path.insert(0, str(ROOT / "tools"))

from toolbox import cache, progress  # noqa: E402


def python() -> Path:
    """An interpreter that has PyTorch beside everything that this one has."""
    name = hashlib.sha256(LOCK.read_bytes() + str(ROOT).encode()).hexdigest()[:16]
    folder = cache.root() / "pytorch" / name
    found = folder / "bin" / "python"
    with cache.locked("pytorch"), progress.doing("PyTorch's environment: 3 GB to download"):
        if not (folder / "whole").exists():
            _make(folder, found)
    return found


def _make(folder: Path, python: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    sync = [uv, "pip", "sync", "--quiet", "--no-cache", "--require-hashes", "--python", python, LOCK]
    subprocess.run(sync, check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    below = sysconfig.get_path("purelib")
    (own / "project.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    (folder / "whole").touch()


if __name__ == "__main__":
    print(python())
