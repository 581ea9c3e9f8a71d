"""Measure what the platform promises and write the table of docs/performance.md."""

import argparse
import os
import platform as machine
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # bench uses the tests' platform: the same command a person runs, in a home of its own

from bench import by_hand
from tests.support.local_platform import MODELYARD, LocalPlatform, a_platform, succeeded

MIB = 1024 * 1024
UP = ("up", "--yes", "--skip-preview")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


@dataclass(frozen=True)
class Row:
    """One line of the table; a ratio or a figure, its target, and what it was measured against."""

    what: str
    figure: str
    target: str
    met: bool


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def median_seconds(action: Callable[[], object], times: int) -> float:
    return statistics.median(seconds(action) for _ in range(times))


def memory_mib(platform: LocalPlatform) -> dict[str, float]:
    """Proportional set size (shared pages divided among their users) of each process with its children, in MiB."""
    found: dict[str, float] = {}
    for name, pid in platform.pids().items():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        found[name] = sum(process.memory_full_info().pss for process in family) / MIB
    supervisor = psutil.Process(next(iter(platform.pids().values()))).parent()
    assert supervisor is not None
    return found | {"supervisor": supervisor.memory_full_info().pss / MIB}


def empty_program(
    env: dict[str, str], text: str = "import pulumi\n", command: Sequence[str] = UP
) -> Callable[[], float]:
    """Pulumi with nothing to do for a Python program that does next to nothing, in the same backend and environment."""
    folder = Path(tempfile.mkdtemp(prefix="empty-"))
    (folder / "Pulumi.yaml").write_text("name: empty\nruntime: python\n")
    (folder / "__main__.py").write_text(text)
    pulumi(["stack", "init", "empty"], folder, env)
    pulumi([*UP, "--stack", "empty"], folder, env)
    return lambda: seconds(lambda: pulumi([*command, "--stack", "empty"], folder, env))


def pulumi(arguments: list[str], folder: Path, env: dict[str, str]) -> None:
    subprocess.run(["pulumi", *arguments, "--non-interactive"], cwd=folder, env=env, check=True, capture_output=True)


def engine_env(platform: LocalPlatform) -> dict[str, str]:
    lines = succeeded(platform.run("pulumi-env")).stdout
    found = dict(re.findall(r"^export (\w+)='?(.*?)'?$", lines, re.MULTILINE))
    return platform.env | found


def up(platform: LocalPlatform) -> float:
    return seconds(lambda: succeeded(platform.run("up", "--stack", platform.stack)))


def measure(times: int) -> list[Row]:
    rows = []
    with a_platform("bench", protect=True, registry_database={"kind": "process"}) as first:
        ups, hands, downs = [], [], []
        for _ in range(times):
            ups.append(up(first))
            hands.append(by_hand.run(first.folder))
            downs.append(seconds(lambda: succeeded(first.run("down", "--stack", first.stack, "--yes"))))
            shutil.copy(ROOT / "stacks" / "templates" / "local.yaml", first.stack_file)
        up_s, hand_s, down_s = (statistics.median(values) for values in (ups, hands, downs))
        rows.append(Row("`make up`, tools and packages installed", f"{up_s:.1f} s", "≤ 30 s", up_s <= 30))
        ratio = up_s / hand_s
        rows.append(
            Row(f"… against the same servers by hand ({hand_s:.1f} s)", f"{ratio:.2f} ×", "≤ 1.5 ×", ratio <= 1.5)
        )
        rows.append(Row("`make down`", f"{down_s:.1f} s", "≤ 8 s", down_s <= 8))
        up(first)
        rows += _nothing_to_do(first, times) + _commands(first) + _side_by_side(first)
        succeeded(first.run("down", "--stack", first.stack, "--yes"))
    return rows


def _nothing_to_do(first: LocalPlatform, times: int) -> list[Row]:
    env = engine_env(first)
    empty = empty_program(env)
    pairs = []
    for _ in range(times + 2):
        floor = empty()
        ours = seconds(lambda: pulumi([*UP, "--stack", first.stack], ROOT, env))
        pairs.append((ours, floor))
    ours, floor = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    what = f"`pulumi up` with nothing to do ({ours:.2f} s) against an empty Python program ({floor:.2f} s)"
    return [Row(what, f"{ratio:.2f} ×", "≤ 1.4 ×", ratio <= 1.4)]


def _commands(first: LocalPlatform) -> list[Row]:
    status = median_seconds(lambda: succeeded(first.run("status")), 7)
    help_ = median_seconds(lambda: subprocess.run([str(MODELYARD), "--help"], check=True, capture_output=True), 7)
    return [
        Row("`modelyard status`", f"{status:.2f} s", "≤ 1 s", status <= 1),
        Row("`modelyard --help`", f"{help_:.2f} s", "≤ 0.3 s", help_ <= 0.3),
    ]


def _side_by_side(first: LocalPlatform) -> list[Row]:
    with a_platform("bench2", home=first.home) as second, a_platform("bench3", home=first.home) as third:
        second_s = up(second)
        memory = memory_mib(second)
        total = sum(memory.values())
        largest = sorted(memory.items(), key=lambda item: -item[1])[:4]
        up(third)
        running = all('"is_up": true' in one.run("status", "--json").stdout for one in (first, second, third))
    what = ", ".join(f"{name} {mib:.0f}" for name, mib in largest)
    return [
        Row("a second platform beside the first", f"{second_s:.1f} s", "≤ 20 s", second_s <= 20),
        Row(f"… its memory (proportional; largest in MiB: {what})", f"{total:.0f} MiB", "≤ 700 MiB", total <= 700),
        Row("three platforms side by side, every part of each running", "yes" if running else "no", "yes", running),
    ]


def table(rows: list[Row]) -> str:
    memory = psutil.virtual_memory().total / 1024**3
    said = [
        f"{machine.system()} {machine.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB; Python "
        f"{machine.python_version()}, Pulumi SDK {version('pulumi')}, MLflow {version('mlflow')}. Medians.",
        "",
        "| what | measured | target | met |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row.figure} | {row.target} | {'yes' if row.met else '**no**'} |" for row in rows),
    ]
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each start is measured")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "get.py"), "--path"], capture_output=True, text=True, check=True
    )
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), done.stdout.strip(), os.environ["PATH"]])
    said = table(measure(arguments.times))
    print(said)
    if arguments.write:
        page = ROOT / "docs" / "performance.md"
        text = page.read_text()
        before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:before]}\n{said}\n{text[after:]}")


if __name__ == "__main__":
    main()
