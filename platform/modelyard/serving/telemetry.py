"""What the agent says about itself: `/health`, `/metrics`, and the list of replicas for Prometheus."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from modelyard.processes import ProcessSpec
from modelyard.processes.files import write_private
from modelyard.serving.pools import DesiredPool, ObservedPool, Pool
from modelyard.serving.world import NewReplica

_LOOK_SECONDS = 0.1  # how long the agent waits, when it ends, for its HTTP server to see that
STUCK_SECONDS = 120.0
_POOL_LABELS = ("model", "pool", "version")


class Telemetry:
    """The agent's metrics, and whether it is healthy."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.is_published = False
        self.reconciled_at = time.monotonic()
        self.reconciling = Histogram(
            "modelyard_reconcile_seconds",
            "How long one step of the agent takes.",
            registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
        )
        self.errors = Counter("modelyard_reconcile_errors", "Steps that ended with an error.", registry=self.registry)
        self._ready = self._gauge("modelyard_replicas_ready", "Replicas that answer.")
        self._desired = self._gauge("modelyard_replicas_desired", "Replicas that there should be.")
        self._weight = self._gauge("modelyard_traffic_percent", "Share of the model's requests.")
        self._failed = self._gauge("modelyard_deployment_failed", "1 if the version can't be served.")
        self._last = Gauge(
            "modelyard_last_reconcile_timestamp_seconds", "When the last step ended well.", registry=self.registry
        )
        self._acting = Gauge(
            "modelyard_serving_agent_acting",
            "1 if this agent is the one that acts, and knows enough to.",
            registry=self.registry,
        )
        self._database = Gauge(
            "modelyard_serving_database_reachable", "1 if the desired state can be read.", registry=self.registry
        )

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, _POOL_LABELS, registry=self.registry)

    def report(
        self,
        desired: Iterable[DesiredPool],
        observed: Iterable[ObservedPool],
        *,
        database_reachable: bool | None,
        acting: bool = True,
    ) -> None:
        """Bring the metrics up to date after a step.

        Args:
            desired: What should be served,
            observed: and what is, in the same order.
            database_reachable: None: not tried yet.
            acting: Whether the step has made anything so.
        """
        for gauge in (self._ready, self._desired, self._weight, self._failed):
            gauge.clear()
        for pool, seen in zip(desired, observed, strict=True):
            labels = (pool.model, pool.pool, str(pool.version))
            self._ready.labels(*labels).set(seen.ready)
            self._desired.labels(*labels).set(pool.replicas)
            self._weight.labels(*labels).set(pool.weight)
            self._failed.labels(*labels).set(seen.state == "failed")
        self._acting.set(acting)
        self._database.set(bool(database_reachable))
        self._last.set_to_current_time()
        self.reconciled_at = time.monotonic()
        self.is_published = True

    @property
    def is_healthy(self) -> bool:
        """Whether Envoy's files are written and the agent isn't stuck."""
        return self.is_published and time.monotonic() - self.reconciled_at < STUCK_SECONDS


@dataclass(frozen=True)
class Page:
    """What a request is answered with."""

    status: int
    body: bytes
    content_type: str


def json_page(status: int, document: object) -> Page:
    """An answer in JSON."""
    return Page(status, json.dumps(document).encode(), "application/json")


def telemetry_page(telemetry: Telemetry, path: str) -> Page:
    """`/health` and `/metrics`."""
    if path == "/metrics":
        return Page(200, generate_latest(telemetry.registry), "text/plain; version=0.0.4; charset=utf-8")
    if path == "/health":
        return json_page(200 if telemetry.is_healthy else 503, {"ready": telemetry.is_healthy})
    return json_page(404, {"error": "paths: /health, /metrics"})


def serve(
    port: int, answer: Callable[[str, Mapping[str, str]], Page], *, host: str = "127.0.0.1"
) -> ThreadingHTTPServer:
    """Answer requests in a thread.

    Args:
        port: Where to listen.
        answer: Given a path without its query, and the headers with names in lower case.
        host: Which of the machine's addresses.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            page = answer(self.path.partition("?")[0], {name.lower(): value for name, value in self.headers.items()})
            self.send_response(page.status)
            self.send_header("content-type", page.content_type)
            self.send_header("content-length", str(len(page.body)))
            self.send_header("connection", "close")  # nobody reads what else the client sends
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page.body)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET

        def log_message(self, *_: object) -> None:
            """Scrapes are not news."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = Server((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(_LOOK_SECONDS,), name=f"http-{port}", daemon=True).start()
    return server


def write_targets(
    path: Path, replicas: Iterable[tuple[ProcessSpec, NewReplica]], pools: dict[tuple[str, int], Pool]
) -> None:
    """List the replicas' metrics endpoints for Prometheus (file_sd); writes only what changed.

    Args:
        path: Where.
        replicas: Each; its last port has the metrics.
        pools: The pool that a model's version is in; one that is in none is on its way out.
    """
    targets = [
        {
            "targets": [f"127.0.0.1:{spec.ports[-1]}"],
            "labels": {
                "model": new.model,
                "version": str(new.version),
                "pool": pools.get((new.model, new.version), "retiring"),
                "replica": str(new.index),
            },
        }
        for spec, new in replicas
    ]
    content = json.dumps(targets, indent=1)
    try:
        if path.read_text() == content:
            return
    except OSError:
        pass
    write_private(path, content)
