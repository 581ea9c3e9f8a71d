"""Latency against load, for each model server, as a chart."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import httpx
import matplotlib as mpl
import numpy as np
import pandas as pd

from bench import servers, wrk
from bench.models import split, v2

CONNECTIONS = (1, 2, 4, 8, 16, 32)
Curve = Sequence[wrk.Load]
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777")


def predicted(url: str, body: bytes) -> list[float]:
    """The first output of one request, as a flat list."""
    answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    values = found["predictions"] if "predictions" in found else found["outputs"][0]["data"]
    return [float(value) for value in np.ravel(values)]


def measure(
    folder: Path, frame: pd.DataFrame, proofs: Path, seconds: float, say: Callable[[str], None]
) -> dict[str, Curve]:
    """What each server does for more and more clients, each of which asks for one row as soon as it has its answer.

    Args:
        folder: A model of numbers, as MLflow saved it.
        frame: Rows for it.
        proofs: Where our server remembers how the model may be asked.
        seconds: How long each load lasts.
        say: Told about each.
    """

    asked = {
        "modelyard": (partial(servers.ours, proofs=proofs), servers.INFER, v2),
        "LitServe": (servers.litserve, "/predict", split),
        "MLServer": (servers.mlserver, servers.INFER, v2),
        "BentoML": (servers.bentoml, "/predict", split),
        "mlflow models serve": (servers.mlflow_serve, servers.INVOCATIONS, split),
    }
    found: dict[str, Curve] = {}
    answers: list[float] = []
    for name, (start, path, body) in asked.items():
        with start(folder) as started:
            url = (started if isinstance(started, str) else started[0]) + path
            answered = predicted(url, body(frame.iloc[:20]))
            answers = answers or answered
            assert answered == answers, f"{name} answers something else"
            one = body(frame.iloc[:1])
            wrk.run(url, one, connections=4, seconds=1)
            found[name] = [wrk.run(url, one, connections=count, seconds=seconds) for count in CONNECTIONS]
        say(f"{name}: {found[name]}")
    return found


def draw(found: Mapping[str, Curve], path: Path) -> None:
    """Write the chart.

    Args:
        found: From `measure`.
        path: An SVG file.
    """
    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "modelyard", "font.size": 11}
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for (name, curve), colour in zip(found.items(), COLOURS, strict=True):
        rates = [one.requests_per_second for one in curve]
        axes.plot(rates, [one.p50 for one in curve], "o-", color=colour, label=name, markersize=4)
        axes.plot(rates, [one.p99 for one in curve], "o:", color=colour, markersize=3, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="requests per second", ylabel="latency in milliseconds")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(f"{', '.join(map(str, CONNECTIONS))} clients; solid: p50, dotted: p99", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def table(found: Mapping[str, Curve]) -> str:
    """The same at 8 clients, as Markdown."""
    lines = ["| server | req/s at 8 clients | p50 | p99 |", "|---|---|---|---|"]
    for name, curve in found.items():
        one = curve[CONNECTIONS.index(8)]
        lines.append(f"| {name} | {one.requests_per_second:,.0f} | {one.p50:.3g} ms | {one.p99:.3g} ms |")
    return "\n".join(lines)
