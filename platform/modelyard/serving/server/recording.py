"""The payload log as the server sees it: what it is told of each answer, and what it tells Prometheus."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelyard.serving.payloads import Columns, Matrix, PayloadBatch, PayloadLog
from modelyard.serving.server import columns
from modelyard.serving.server.interface import Question, ServedModel
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array


class Recording(Collector):
    """Records answered requests, as many of them as the payload log wants.

    Args:
        log: Where to.
    """

    def __init__(self, log: PayloadLog) -> None:
        self.log = log
        self._names: dict[ServedModel, tuple[str, ...]] = {}

    def __call__(self, served: ServedModel, question: Question, output: Output) -> None:
        """A question was answered."""
        if not self.log.wants():
            return
        inputs = self._inputs(served, question.inputs.data)
        rows = question.inputs.rows or 1
        self.log.add(
            PayloadBatch(
                served.name, served.version, time.time_ns(), (question.request_id,), (rows,), inputs, output.arrays
            )
        )

    def _inputs(self, served: ServedModel, data: Any) -> Matrix | Columns:
        if isinstance(data, columns.Columns):
            return Columns(data.values)
        if isinstance(data, np.ndarray):
            if data.ndim == 2 and served.signature.columns:
                return Matrix(self._columns(served), data)
            return Columns({served.input_metadata[0].name if served.input_metadata else "input-0": data})
        if isinstance(data, dict):
            return Columns({str(name): np.asarray(value) for name, value in data.items()})
        if hasattr(data, "columns"):
            return Columns({str(name): data[name].to_numpy() for name in data.columns})
        return Columns({"input-0": _alone(data)})

    def _columns(self, served: ServedModel) -> tuple[str, ...]:
        if served not in self._names:
            self._names[served] = tuple(str(column.name) for column in served.signature.columns)
        return self._names[served]

    def collect(self) -> Iterator[Metric]:
        """The payload log's counters."""
        stats = self.log.stats()
        dropped = CounterMetricFamily(
            "modelyard_payload_dropped_requests", "Requests that should have been recorded.", labels=["reason"]
        )
        for reason, count in stats.dropped_requests.items():
            dropped.add_metric([reason], count)
        yield dropped
        for name, what, value in (
            ("recorded_requests", "Requests handed to the spool.", stats.recorded_requests),
            ("written_files", "Parquet files put into the store.", stats.files_written),
            ("written_bytes", "Bytes of those.", stats.bytes_written),
            ("upload_failures", "Attempts to store that failed.", stats.upload_failures),
            ("writer_restarts", "Times the writer ended without being told to.", stats.writer_restarts),
        ):
            yield CounterMetricFamily(f"modelyard_payload_{name}", what, value)
        for name, what, size in (
            ("buffered_bytes", "In memory, not in the spool yet.", stats.buffered_bytes),
            ("spool_bytes", "In the spool, not in the store yet.", stats.spool_bytes),
            ("oldest_unwritten_seconds", "Age of the oldest record there.", stats.oldest_unwritten_seconds),
            ("set_aside_segments", "Spool files that nobody could read.", stats.set_aside_segments),
        ):
            yield GaugeMetricFamily(f"modelyard_payload_{name}", what, size)


def _alone(data: Any) -> Array:
    array = np.empty(1, dtype=object)
    array[0] = data
    return array
