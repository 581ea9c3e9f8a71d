"""Prints the interpreter that has PyTorch, and makes its environment first if it isn't there.

PyPI's PyTorch for Linux on x86-64 comes with all of CUDA: 3 GB to download, 5 GB on disk. So it is in no other
environment, and no other test needs it. This one holds what requirements.lock says, over the project's own packages.
"""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).with_name("requirements.lock")
sys.path.insert(0, str(ROOT / "tools"))

from toolbox import environments  # noqa: E402


def python() -> Path:
    """An interpreter that has PyTorch beside everything that this one has."""
    beside = Path(sysconfig.get_path("purelib"))
    return environments.python("pytorch", LOCK, "PyTorch's environment: 3 GB to download", beside=beside)


if __name__ == "__main__":
    print(python())
