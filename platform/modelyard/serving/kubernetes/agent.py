"""The serving agent of a cluster: `python -m modelyard.serving.kubernetes.agent SETTINGS.json`.

One of its replicas acts, the one that holds the lease. It may die at any time: model servers and routes go on, and the
next one takes over from what is in the cluster and in the database.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from modelyard.kube.api import Api
from modelyard.kube.lease import Lease
from modelyard.serving.kubernetes.controller import Controller
from modelyard.serving.kubernetes.settings import ControllerSettings
from modelyard.serving.loop import reconcile
from modelyard.serving.telemetry import Page, Telemetry, json_page, serve, telemetry_page

LEASE = "serving-agent"


def run(settings: ControllerSettings, stop: threading.Event) -> None:
    """Reconcile until `stop` is set, or the lease is lost."""
    api = Api.in_pod(settings.namespace, manager="modelyard-serving-agent")
    telemetry = Telemetry()
    holder = os.environ.get("HOSTNAME") or socket.gethostname()
    controller = Controller(settings, api, lambda wake: Lease(api, LEASE, holder, wake=wake), telemetry)
    servers = [
        serve(settings.port, partial(_to_the_cluster, controller, telemetry), host=_everywhere()),
        serve(settings.answers_port, partial(_to_clients, controller), host=_everywhere()),
    ]
    controller.start()
    try:
        reconcile(controller, telemetry, stop)
    finally:
        for server in servers:
            server.shutdown()
        controller.stop()


def _to_the_cluster(controller: Controller, telemetry: Telemetry, path: str, _: Mapping[str, str]) -> Page:
    if path != "/targets":
        return telemetry_page(telemetry, path)
    if controller.targets is None:  # Prometheus then keeps the list that the acting agent gave it
        return json_page(503, {"error": "another agent acts, and knows the replicas"})
    return json_page(200, controller.targets)


def _to_clients(controller: Controller, path: str, headers: Mapping[str, str]) -> Page:
    return json_page(*controller.known.answer(path, headers))


def _everywhere() -> str:
    """Every address of the pod, whose NetworkPolicies say who reaches it."""
    return "::" if ":" in os.environ.get("MODELYARD_POD_IP", "") else "0.0.0.0"  # noqa: S104


def main(arguments: list[str]) -> int:
    """Run the agent; returns its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if len(arguments) != 1:
        print("usage: python -m modelyard.serving.kubernetes.agent SETTINGS.json", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        settings = ControllerSettings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        print(f"{path} does not hold the settings of a serving agent in a cluster: {error}", file=sys.stderr)
        return 2
    run(settings, threading.Event())
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # a watch that waits for news must not hold the agent up
