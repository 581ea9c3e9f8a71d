"""The serving agent: `python -m modelyard.serving.agent SETTINGS.json`.

Keeps the models that should be served served: downloads them, runs their replicas under the platform's supervisor,
and tells the router. It may die at any time: replicas and router go on, and the next agent takes over from what is
on disk and in the database. When it is taken off the platform, it takes its replicas with it.
"""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from pydantic import ValidationError

from modelyard.errors import ModelyardError
from modelyard.serving.reconciler import Reconciler
from modelyard.serving.settings import AgentSettings
from modelyard.serving.telemetry import Telemetry, serve

log = logging.getLogger("modelyard.serving")
ERROR_SECONDS = 1.0


def run(settings: AgentSettings, stop: threading.Event) -> None:
    """Reconcile until `stop` is set.

    Args:
        settings: The agent's.
        stop: Set by whoever wants it to end; `wake` of the reconciler is set along with it.
    """
    telemetry = Telemetry()
    reconciler = Reconciler(settings, telemetry)
    _stop_on_signal(stop, reconciler.wake)
    server = serve(telemetry, settings.port)
    reconciler.database.start()
    while not stop.is_set():
        reconciler.wake.clear()
        try:
            began = time.perf_counter()
            pause = reconciler.step()
            telemetry.reconciling.observe(time.perf_counter() - began)
        except Exception as error:
            # Whatever it was, the models that are being served must go on being looked after.
            telemetry.errors.inc()
            log.error("%s", error, exc_info=not isinstance(error, ModelyardError))
            pause = ERROR_SECONDS
        reconciler.wake.wait(pause)
    server.shutdown()
    reconciler.stop()


def _stop_on_signal(stop: threading.Event, wake: threading.Event) -> None:
    def on_signal(number: int, _: object) -> None:
        log.info("stopping: %s", signal.Signals(number).name)
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


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
