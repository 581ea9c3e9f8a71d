"""Measure the model server beside its peers: same machine, same models, same rows, answers compared first.

`python bench/serving.py [--seconds 5] [--write]`; with --write the table goes into docs/performance.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import wrk
from modelyard.processes.ports import any_free_port
from tests.support.saved_models import save

BEGIN, END = "<!-- serving:begin -->", "<!-- serving:end -->"
NAME = "m"
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
Row = tuple[str, str, str, str]


def cancer(path: Path) -> tuple[Path, pd.DataFrame]:
    """30 numbers: StandardScaler and LogisticRegression."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target)
    return save("sklearn", model, path, data.data, model.predict(data.data)), data.data


def words(path: Path) -> tuple[Path, pd.DataFrame]:
    """14 numbers and 6 columns of words: a ColumnTransformer and LogisticRegression."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(3)
    numbers = {f"x{index}": random.normal(size=500) for index in range(14)}
    texts = {f"w{index}": random.choice(["red", "green", "blue", "white"], 500) for index in range(6)}
    frame = pd.DataFrame(numbers | texts)
    label = ((frame["x0"] + (frame["w0"] == "red")) > 0).astype(int)
    columns = make_column_transformer((OneHotEncoder(), list(texts)), (StandardScaler(), list(numbers)))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, label)
    return save("sklearn", model, path, frame, model.predict(frame)), frame


def forest(path: Path) -> tuple[Path, pd.DataFrame]:
    """A forest that takes milliseconds, so that whoever asks takes no part of the processors worth mentioning."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    data = load_breast_cancer(as_frame=True)
    model = RandomForestClassifier(300, random_state=1).fit(data.data, data.target)
    trusted = ["sklearn.tree._tree.Tree"]
    return save("sklearn", model, path, data.data, model.predict(data.data), skops_trusted_types=trusted), data.data


def v2(frame: pd.DataFrame) -> bytes:
    """A V2 request, one tensor per column."""
    tensors = [
        {
            "name": name,
            "shape": [len(frame), 1],
            "datatype": "FP64" if frame[name].dtype.kind == "f" else "BYTES",
            "data": frame[name].tolist(),
            **({} if frame[name].dtype.kind == "f" else {"parameters": {"content_type": "str"}}),
        }
        for name in frame.columns
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": tensors}).encode()


def split(frame: pd.DataFrame) -> bytes:
    """An `/invocations` request."""
    return json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()


@contextmanager
def process(command: list[str], ready: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it answers."""
    with tempfile.TemporaryDirectory() as place:
        started = subprocess.Popen(
            command,
            env={**os.environ, **ENV, **(env or {}), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=place,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not _answers(ready):
                assert started.poll() is None, f"{command} ended with {started.returncode}"
                assert time.monotonic() < deadline, f"{command} did not get ready"
                time.sleep(0.02)
            yield started
        finally:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def ours(folder: Path, proofs: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = any_free_port(frozenset())
    command = [sys.executable, "-m", "modelyard.serving.server", "--model", f"{NAME}={folder}", "--port", str(port)]
    ready = f"http://127.0.0.1:{port}/v2/health/ready"
    with process([*command, "--proofs", str(proofs), *options], ready) as started:
        yield f"http://127.0.0.1:{port}", started


@contextmanager
def mlflow_serve(folder: Path) -> Iterator[str]:
    port = any_free_port(frozenset())
    command = [
        str(Path(sys.executable).parent / "mlflow"),
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
    ]
    with process([*command, "--workers", "1", "-p", str(port)], f"http://127.0.0.1:{port}/ping"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def mlserver(folder: Path) -> Iterator[str]:
    port = any_free_port(frozenset())
    env = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_METRICS_PORT": str(any_free_port(frozenset({port}))),
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": NAME,
        "MLSERVER_MODEL_URI": str(folder),
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
    }
    command = [sys.executable, "-m", "mlserver.cli.main", "start", "."]
    with process(command, f"http://127.0.0.1:{port}/v2/models/{NAME}/ready", env):
        yield f"http://127.0.0.1:{port}"


def predicted(url: str, body: bytes) -> list[float]:
    """The first output of one request, as a flat list."""
    answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    values = found["predictions"] if "predictions" in found else found["outputs"][0]["data"]
    return [float(value) for value in np.ravel(values)]


def measure(seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Every line of the table: what, figure, target, met."""
    rows: list[Row] = []

    def add(what: str, figure: float, unit: str, target: float, *, most: bool = False) -> None:
        met = figure <= target if most else figure >= target
        rows.append(
            (what, f"{figure:,.3g} {unit}", f"{'≤' if most else '≥'} {target:g} {unit}", "yes" if met else "**no**")
        )
        say(" | ".join(rows[-1]))

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (numbers, frame), (texts, sentences), (trees, _) = (
            make(place / make.__name__) for make in (cancer, words, forest)
        )
        one, hundred, sentence = frame.iloc[:1], frame.iloc[:100], sentences.iloc[:1]
        infer, invocations = f"/v2/models/{NAME}/infer", "/invocations"
        with mlflow_serve(numbers) as url:
            answers = predicted(url + invocations, split(hundred))
            mlflow = wrk.run(url + invocations, split(one), connections=8, seconds=seconds)
        say(f"mlflow models serve: {mlflow}")
        with mlserver(numbers) as url:
            assert predicted(url + infer, v2(hundred)) == answers
            peer = wrk.run(url + infer, v2(one), connections=8, seconds=seconds)
            peer_hundred = wrk.run(url + infer, v2(hundred), connections=8, seconds=seconds)
        with mlserver(texts) as url:
            peer_answers = predicted(url + infer, v2(sentences.iloc[:100]))
            peer_words = wrk.run(url + infer, v2(sentence), connections=8, seconds=seconds)
        say(f"MLServer V2: {peer}, 100 rows: {peer_hundred}, words: {peer_words}")
        recorded = json.dumps({"store": {"destination": f"{place}/store"}, "spool": f"{place}/spool", "sample": 0.01})
        with ours(numbers, place / "proofs"):
            pass  # finds out how the model may be asked, once
        began = time.monotonic()
        with ours(numbers, place / "proofs", "--payload-log", recorded) as (url, started):
            ready = time.monotonic() - began
            memory = sum(
                int(line.split()[1]) * 1024 / 1e6
                for line in Path(f"/proc/{started.pid}/smaps_rollup").read_text().splitlines()
                if line.startswith("Pss:")
            )
            assert predicted(url + infer, v2(hundred)) == answers
            assert predicted(url + invocations, split(hundred)) == answers
            wrk.run(url + infer, v2(one), connections=8, seconds=1)
            fast = wrk.run(url + infer, v2(one), connections=8, seconds=seconds)
            alone = wrk.run(url + infer, v2(one), connections=1, seconds=seconds)
            half = wrk.run(
                url + infer,
                v2(one),
                connections=32,
                seconds=seconds,
                pause_ms=round(32e3 / (fast.requests_per_second / 2)),
            )
            ours_hundred = wrk.run(url + infer, v2(hundred), connections=8, seconds=seconds)
        say(f"ours: {fast}, one client: {alone}, paced: {half}, 100 rows: {ours_hundred}")
        with ours(numbers, place / "proofs", "--payload-log", recorded.replace("0.01", "1.0")) as (url, _):
            wrk.run(url + infer, v2(one), connections=8, seconds=1)
            everything = wrk.run(url + infer, v2(one), connections=8, seconds=seconds)
        with ours(numbers, place / "proofs") as (url, _):
            wrk.run(url + infer, v2(one), connections=8, seconds=1)
            nothing = wrk.run(url + infer, v2(one), connections=8, seconds=seconds)
        with ours(texts, place / "proofs") as (url, _):
            assert predicted(url + infer, v2(sentences.iloc[:100])) == peer_answers
            wrk.run(url + infer, v2(sentence), connections=8, seconds=1)
            ours_words = wrk.run(url + infer, v2(sentence), connections=8, seconds=seconds)
        rates = []
        for workers in ("1", "2"):
            with ours(trees, place / "proofs", "--workers", workers) as (url, _):
                time.sleep(3)  # both workers are to be ready, and one that answers doesn't say so
                rates.append(wrk.run(url + infer, v2(one), connections=32, seconds=seconds).requests_per_second)
    add(
        f"{fast.requests_per_second:,.0f} req/s at 8 clients, against `mlflow models serve` "
        f"({mlflow.requests_per_second:.0f})",
        fast.requests_per_second / mlflow.requests_per_second,
        "×",
        50,
    )
    add(
        f"… against MLServer V2 ({peer.requests_per_second:.0f})",
        fast.requests_per_second / peer.requests_per_second,
        "×",
        30,
    )
    add("p50 at one client", alone.p50, "ms", 1, most=True)
    add(f"p99 at half of peak ({half.requests_per_second:,.0f} req/s)", half.p99, "ms", 5, most=True)
    add(
        f"100-row requests: {ours_hundred.requests_per_second * 100:,.0f} rows/s, against MLServer",
        ours_hundred.requests_per_second / peer_hundred.requests_per_second,
        "×",
        10,
    )
    add(
        f"20 columns, 6 of words: {ours_words.requests_per_second:,.0f} req/s, against MLServer "
        f"({peer_words.requests_per_second:.0f})",
        ours_words.requests_per_second / peer_words.requests_per_second,
        "×",
        8,
    )
    add("two workers against one (a forest of 300 trees, 32 clients)", rates[1] / rates[0], "×", 1.8)
    add(
        "what recording every request costs",
        100 * (1 - everything.requests_per_second / nothing.requests_per_second),
        "%",
        10,
        most=True,
    )
    add("from start to ready, the model tried before", ready, "s", 3, most=True)
    add("memory of an idle process with one scikit-learn model (proportional)", memory, "MB", 150, most=True)
    return rows


def main() -> None:
    """Measure and print; with --write into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows = measure(given.seconds, lambda text: print(text, file=sys.stderr, flush=True))
    table = "\n".join(
        ["| what | measured | target | met |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    )
    print(table)
    if given.write:
        page = ROOT / "docs" / "performance.md"
        text = page.read_text()
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        page.write_text(f"{head}\n{table}\n{tail}")


if __name__ == "__main__":
    main()
