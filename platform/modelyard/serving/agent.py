"""The serving agent: `python -m modelyard.serving.agent SETTINGS.json`.

Keeps the models that should be served served: downloads them, runs their replicas under the platform's supervisor,
and tells the router. It may die at any time: replicas and router go on, and the next agent takes over from what is
on disk and in the database. When it is taken off the platform, it takes its replicas with it.
"""

import logging
import os
import sys
import threading
from pathlib import Path

from pydantic import ValidationError

from modelyard.serving.loop import reconcile
from modelyard.serving.reconciler import Reconciler
from modelyard.serving.settings import AgentSettings
from modelyard.serving.telemetry import Telemetry, serve, telemetry_page


def run(settings: AgentSettings, stop: threading.Event) -> None:
    """Reconcile until `stop` is set.

    Args:
        settings: The agent's.
        stop: Set by whoever wants it to end; `wake` of the reconciler is set along with it.
    """
    telemetry = Telemetry()
    reconciler = Reconciler(settings, telemetry)
    server = serve(settings.port, lambda path, _: telemetry_page(telemetry, path))
    reconciler.database.start()
    reconcile(reconciler, telemetry, stop)
    server.shutdown()
    reconciler.stop()


def main(arguments: list[str]) -> int:
    """Run the agent; returns its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if len(arguments) != 1:
        print("usage: python -m modelyard.serving.agent SETTINGS.json", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        settings = AgentSettings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        print(f"{path} does not hold the settings of a serving agent: {error}", file=sys.stderr)
        return 2
    run(settings, threading.Event())
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # a replica that is still stopping must not hold the agent up
