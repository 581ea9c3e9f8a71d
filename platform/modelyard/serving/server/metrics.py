"""The server's metrics, in Prometheus' form."""

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_MODEL = ("model", "version")


class Metrics:
    """All of one process.

    Args:
        registry: Where they are registered; None: a new one.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "modelyard_model_requests", "Answered requests.", (*_MODEL, "protocol", "code"), registry=own
        )
        self.errors = Counter(
            "modelyard_model_errors", "Requests without a prediction.", (*_MODEL, "kind"), registry=own
        )
        self.seconds = Histogram(
            "modelyard_model_request_seconds",
            "From a request's last byte to its answer.",
            (*_MODEL, "protocol"),
            buckets=SECONDS,
            registry=own,
        )
        self.predict = Histogram(
            "modelyard_model_predict_seconds",
            "One call of the model, for a batch.",
            _MODEL,
            buckets=SECONDS,
            registry=own,
        )
        self.batch = Histogram(
            "modelyard_model_batch_rows", "Rows predicted at once.", _MODEL, buckets=ROWS, registry=own
        )
        self.waiting = Gauge(
            "modelyard_model_waiting_requests",
            "Requests that wait for the model.",
            _MODEL,
            registry=own,
        )
        self.stuck = Counter("modelyard_model_stuck", "Predictions that were given up.", _MODEL, registry=own)
        self.loaded = Gauge(
            "modelyard_model_info",
            "1 for each version that answers; its labels say how.",
            (*_MODEL, "flavor", "format", "path", "batching", "unpickled"),
            registry=own,
        )
        self.load_seconds = Gauge("modelyard_model_load_seconds", "How long loading took.", _MODEL, registry=own)
        self.connections = Gauge("modelyard_server_connections", "Open connections.", registry=own)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)


class ModelMetrics:
    """The metrics of one loaded version, with their labels looked up once.

    Args:
        metrics: Of the process.
        labels: (model, version).
        facts: How it is served.
    """

    def __init__(self, metrics: Metrics, labels: tuple[str, str], facts: dict[str, Any]) -> None:
        self._metrics = metrics
        self._labels = labels
        self._codes: dict[tuple[str, int], Counter] = {}
        self.seconds = {one: metrics.seconds.labels(*labels, one) for one in ("v2", "grpc", "invocations")}
        self.predict = metrics.predict.labels(*labels)
        self.batch = metrics.batch.labels(*labels)
        self.waiting = metrics.waiting.labels(*labels)
        self.stuck = metrics.stuck.labels(*labels)
        batching = "off" if facts["batching"] != "on" else "on"
        self._info = (
            *labels,
            facts["flavor"],
            facts["format"],
            facts["path"],
            batching,
            str(facts["unpickled"]).lower(),
        )
        metrics.loaded.labels(*self._info).set(1)
        metrics.load_seconds.labels(*labels).set(facts["load_seconds"])

    def answered(self, protocol: str, code: int, seconds: float, exemplar: dict[str, str] | None = None) -> None:
        """Count a request.

        Args:
            protocol: `v2`, `grpc` or `invocations`.
            code: HTTP status.
            seconds: From its last byte to its answer.
            exemplar: The trace it belongs to.
        """
        counter = self._codes.get((protocol, code))
        if counter is None:
            counter = self._metrics.requests.labels(*self._labels, protocol, str(code))
            self._codes[protocol, code] = counter
        counter.inc()
        self.seconds[protocol].observe(seconds, exemplar)

    def failed(self, kind: str) -> None:
        """Count a request that got no prediction."""
        self._metrics.errors.labels(*self._labels, kind).inc()

    def forget(self) -> None:
        """The version is unloaded."""
        self._metrics.loaded.remove(*self._info)
        self._metrics.load_seconds.remove(*self._labels)
        self._metrics.waiting.remove(*self._labels)
