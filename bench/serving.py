"""Measure the model server beside its peers: same machine, same models, same rows, answers compared first.

`python bench/serving.py [--seconds 5] [--write]`; with --write the table and the chart go into docs/.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import curves, wrk
from bench.curves import predicted
from bench.models import cancer, forest, split, v2, words
from bench.servers import INFER, INVOCATIONS, mlflow_serve, mlserver, ours
from bench.wrk import Load

BEGIN, END = "<!-- serving:begin -->", "<!-- serving:end -->"
Row = tuple[str, str, str, str]


def beside(
    servers: Mapping[str, tuple[str, bytes]], *, connections: int = 8, seconds: float, rounds: int = 3
) -> dict[str, Load]:
    """What servers do that run beside each other and are asked in turn, so that none of them has the better minutes.

    Args:
        servers: By name, an address and what is sent there.
        connections: How many ask at the same time.
        seconds: How long each is asked in all.
        rounds: Into how many turns that is cut; of their figures, medians are taken.
    """
    seen: dict[str, list[Load]] = {name: [] for name in servers}
    for url, body in servers.values():
        wrk.run(url, body, connections=connections, seconds=1)
    for _ in range(rounds):
        for name, (url, body) in servers.items():
            seen[name].append(wrk.run(url, body, connections=connections, seconds=seconds / rounds))
    return {name: _middle(loads) for name, loads in seen.items()}


def _middle(loads: Sequence[Load]) -> Load:
    return Load(*(statistics.median(figures) for figures in zip(*map(astuple, loads), strict=True)))


class Table:
    """Figures with their targets.

    Args:
        say: Told about each line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.rows: list[Row] = []
        self._say = say

    def add(self, what: str, figure: float, unit: str, target: float, *, most: bool = False) -> None:
        """A line; `most`: the target is what it may be at most."""
        met = figure <= target if most else figure >= target
        bound = "≤" if most else "≥"
        self.rows.append((what, f"{figure:,.3g} {unit}", f"{bound} {target:g} {unit}", "yes" if met else "**no**"))
        self._say(" | ".join(self.rows[-1]))

    def add_times(self, what: str, ours: Load, peer: Load, target: float) -> None:
        """How many times a peer's requests per second."""
        self.add(what, ours.requests_per_second / peer.requests_per_second, "×", target)

    def __str__(self) -> str:
        lines = [("what", "measured", "target", "met"), ("---",) * 4, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def numbers(table: Table, place: Path, seconds: float) -> None:
    """One row of 30 numbers, and a hundred; the server alone, and beside its peers."""
    model, frame = cancer(place / "numbers")
    one, hundred = v2(frame.iloc[:1]), v2(frame.iloc[:100])
    recorded = json.dumps({"store": {"destination": f"{place}/store"}, "spool": f"{place}/spool", "sample": 0.01})
    with ours(model, place / "proofs"):
        pass  # finds out how the model may be asked, once
    began = time.monotonic()
    with ours(model, place / "proofs", "--payload-log", recorded) as (url, started):
        table.add("from start to ready, the model tried before", time.monotonic() - began, "s", 3, most=True)
        memory = proportional_mb(started.pid)
        table.add("memory of an idle process with one scikit-learn model (proportional)", memory, "MB", 150, most=True)
        with mlflow_serve(model) as mlflow, mlserver(model) as peer:
            answers = predicted(mlflow + INVOCATIONS, split(frame.iloc[:100]))
            assert predicted(url + INVOCATIONS, split(frame.iloc[:100])) == answers
            assert predicted(url + INFER, hundred) == predicted(peer + INFER, hundred) == answers
            found = beside(
                {
                    "ours": (url + INFER, one),
                    "mlflow": (mlflow + INVOCATIONS, split(frame.iloc[:1])),
                    "MLServer": (peer + INFER, one),
                },
                seconds=seconds,
            )
            many = beside({"ours": (url + INFER, hundred), "MLServer": (peer + INFER, hundred)}, seconds=seconds)
        alone = wrk.run(url + INFER, one, connections=1, seconds=seconds)
        pause = round(32e3 / (found["ours"].requests_per_second / 2))
        half = wrk.run(url + INFER, one, connections=32, seconds=seconds, pause_ms=pause)
    rates = {name: load.requests_per_second for name, load in found.items()}
    what = f"{rates['ours']:,.0f} req/s at 8 clients, against `mlflow models serve` ({rates['mlflow']:.0f})"
    table.add_times(what, found["ours"], found["mlflow"], 50)
    table.add_times(f"… against MLServer V2 ({rates['MLServer']:.0f})", found["ours"], found["MLServer"], 30)
    table.add("p50 at one client", alone.p50, "ms", 1, most=True)
    table.add(f"p99 at half of peak ({half.requests_per_second:,.0f} req/s)", half.p99, "ms", 5, most=True)
    rows = many["ours"].requests_per_second * 100
    table.add_times(f"100-row requests: {rows:,.0f} rows/s, against MLServer", many["ours"], many["MLServer"], 10)


def texts(table: Table, place: Path, seconds: float) -> None:
    """A frame with words."""
    model, frame = words(place / "words")
    one, hundred = v2(frame.iloc[:1]), v2(frame.iloc[:100])
    with ours(model, place / "proofs") as (url, _), mlserver(model) as peer:
        assert predicted(url + INFER, hundred) == predicted(peer + INFER, hundred)
        found = beside({"ours": (url + INFER, one), "MLServer": (peer + INFER, one)}, seconds=seconds)
    rates = {name: load.requests_per_second for name, load in found.items()}
    what = f"20 columns, 6 of words: {rates['ours']:,.0f} req/s, against MLServer ({rates['MLServer']:.0f})"
    table.add_times(what, found["ours"], found["MLServer"], 8)


def recording(table: Table, place: Path, seconds: float) -> None:
    """With every request in the payload log, and with none."""
    model, frame = cancer(place / "recorded")
    one = v2(frame.iloc[:1])
    log = json.dumps({"store": {"destination": f"{place}/all"}, "spool": f"{place}/all-spool", "sample": 1.0})
    with (
        ours(model, place / "proofs") as (without, _),
        ours(model, place / "proofs", "--payload-log", log) as (recorded, _),
    ):
        found = beside({"none": (without + INFER, one), "all": (recorded + INFER, one)}, seconds=2 * seconds, rounds=6)
    cost = 100 * (1 - found["all"].requests_per_second / found["none"].requests_per_second)
    table.add("what recording every request costs", cost, "%", 10, most=True)


def two_workers(table: Table, place: Path, seconds: float) -> None:
    """Two workers and one: requests of 100 rows to a forest, which take so long that who asks needs next to nothing.

    Single rows would not show it: one worker puts those of all clients into one batch, and a batch of 32 rows takes
    hardly longer than one of 16.
    """
    model, frame = forest(place / "forest")
    hundred = v2(frame.iloc[:100])
    with (
        ours(model, place / "proofs") as (one, _),
        ours(model, place / "proofs", "--workers", "2") as (two, _),
    ):
        time.sleep(3)  # both workers are to be ready, and one that answers doesn't say so
        asked = {"one": (one + INFER, hundred), "two": (two + INFER, hundred)}
        found = beside(asked, connections=32, seconds=2 * seconds)
    what = "two workers against one (a forest of 300 trees, 100 rows, 32 clients)"
    table.add_times(what, found["two"], found["one"], 1.8)


def proportional_mb(pid: int) -> float:
    """Memory of a process in MB, of what it shares with others its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def main() -> None:
    """Measure and print; with --write into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    table = Table(say)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for part in (numbers, texts, recording, two_workers):
            part(table, place, given.seconds)
        model, frame = cancer(place / "curves")
        found = curves.measure(model, frame, place / "proofs", given.seconds / 2, say)
    text = f"{table}\n\n{curves.table(found)}"
    print(text)
    if given.write:
        curves.draw(found, ROOT / "docs" / "images" / "model-servers.svg")
        page = ROOT / "docs" / "performance.md"
        whole = page.read_text()
        head, tail = whole[: whole.index(BEGIN) + len(BEGIN)], whole[whole.index(END) :]
        page.write_text(f"{head}\n{text}\n{tail}")


if __name__ == "__main__":
    main()
