"""The environment of servers that are compared with: their packages don't go together with the project's own."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from toolbox import environments


def python() -> Path:
    """An interpreter that has them, made as requirements.lock says unless it is there already."""
    return environments.python("bench-peers", HERE / "requirements.lock", "the peers' environment")
