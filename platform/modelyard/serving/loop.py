"""An agent's loop: a step after the other until told to stop, whatever goes wrong in one."""

import logging
import signal
import threading
import time
from typing import Protocol

from modelyard.errors import ModelyardError
from modelyard.serving.telemetry import Telemetry

log = logging.getLogger(__name__)
ERROR_SECONDS = 1.0


class Ended(Exception):
    """This agent isn't the one to act any more."""


class Steps(Protocol):
    """What is done in steps.

    Attributes:
        wake: Set when there is something new to look at.
    """

    wake: threading.Event

    def step(self) -> float:
        """Do what there is to do now; returns the seconds until it makes sense to look again."""


def reconcile(steps: Steps, telemetry: Telemetry, stop: threading.Event) -> None:
    """Take steps until `stop` is set, a signal says so, or a step says that it is over.

    Args:
        steps: What to do.
        telemetry: What to report to.
        stop: Set by whoever wants it to end.
    """
    _stop_on_signal(stop, steps.wake)
    while not stop.is_set():
        steps.wake.clear()
        try:
            began = time.perf_counter()
            pause = steps.step()
            telemetry.reconciling.observe(time.perf_counter() - began)
        except Ended as reason:
            log.info("ending: %s", reason)
            return
        except Exception as error:
            # Whatever it was, the models that are being served must go on being looked after.
            telemetry.errors.inc()
            log.error("%s", error, exc_info=not isinstance(error, ModelyardError))
            pause = ERROR_SECONDS
        steps.wake.wait(pause)


def _stop_on_signal(stop: threading.Event, wake: threading.Event) -> None:
    def on_signal(number: int, _: object) -> None:
        log.info("stopping: %s", signal.Signals(number).name)
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
