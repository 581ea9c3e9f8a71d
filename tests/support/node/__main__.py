"""A node to play with: `python -m tests.support.node` runs one until it is interrupted."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from tests.support.node import ROOT, missing, started


def main() -> None:
    tools = [sys.executable, str(ROOT / "tools" / "get.py"), "--path", "--for-tests"]
    found = subprocess.run(tools, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    os.environ["PATH"] = os.pathsep.join([found, os.environ["PATH"]])
    if reason := missing():
        sys.exit(reason)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cache = Path(tempfile.gettempdir()) / "modelyard-test-registry"
    with started(cache) as node:
        print(f"export KUBECONFIG={node.kubeconfig} MODELYARD_TEST_REGISTRY={node.registry}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
