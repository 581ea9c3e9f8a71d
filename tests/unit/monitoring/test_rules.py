"""Recording and alert rules: what promtool says of them, and what every alert owes its reader."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import pytest
import yaml

from modelyard.monitoring import cluster_rule_files, rule_files

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
MODELYARD_COMMANDS = {"status", "env", "logs", "open", "deploy", "undeploy", "models", "payloads"}
MAKE_TARGETS = {"up", "down", "stop", "start"}
LEVEL_METRIC_OPERATION = re.compile(r"[a-z_]+:[a-z_0-9]+:[a-z0-9_]+")


def every_rule_file() -> list[Path]:
    return sorted({*rule_files(), *cluster_rule_files()})


@cache
def rules(kind: str) -> list[dict[str, Any]]:
    documents = [yaml.safe_load(file.read_text()) for file in every_rule_file()]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"] if kind in rule]


@cache
def cases() -> list[tuple[Path, dict[str, Any]]]:
    # Everything as text: to other loaders promtool's "0x20", zero twenty times, is a hexadecimal number.
    return [(file, case) for file in CASES for case in yaml.load(file.read_text(), yaml.BaseLoader)["tests"]]


def words(kind: str) -> set[str]:
    """The alerts for which there is a case named '<alert> <kind> …'."""
    names = [case["name"].split() for _, case in cases()]
    return {name for name, verb, *_ in names if verb == kind}


def by_name(rule: dict[str, Any]) -> str:
    return str(rule["alert"])


def pages() -> set[str]:
    return {page.name for page in RUNBOOKS.glob("*.md")} - {"README.md"}


def our_metrics() -> set[str]:
    """The names of all samples that the agent, a model server and its payload log tell Prometheus."""
    from prometheus_client import CollectorRegistry

    from modelyard.serving.payloads.stats import PayloadStats
    from modelyard.serving.server.metrics import Metrics
    from modelyard.serving.server.recording import Recording
    from modelyard.serving.telemetry import Telemetry

    class Log:
        def stats(self) -> PayloadStats:
            return PayloadStats(0, 0, {"spool_full": 1}, 0, 0, 0, 0, 0, 0, 0, 0.0, 0)

    registry = CollectorRegistry()
    Metrics(registry)
    registry.register(Recording(Log()))  # type: ignore[arg-type]
    families = [*registry.collect(), *Telemetry().registry.collect()]
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ())}


def test_there_are_rules_for_every_part() -> None:
    parts = {"artifact-store", "model-server", "monitoring", "registry-database", "serving-cluster", "tracking-server"}
    assert {file.stem for file in rule_files()} == parts | {"machine"}
    assert {file.stem for file in cluster_rule_files()} == parts | {"models", "pods"}
    assert {file.stem for file in cluster_rule_files(pods=False)} == parts | {"models"}


def test_the_rules_name_only_metrics_that_the_platform_has() -> None:
    expressions = "\n".join(rule["expr"] for kind in ("alert", "record") for rule in rules(kind))
    assert set(re.findall(r"\bmodelyard_[a-z_]+", expressions)) - our_metrics() == set()


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", *map(str, every_rule_file())], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def tested(promtool: str) -> Iterator[dict[Path, Popen[str]]]:
    """promtool at work on each file of cases; all at once, since one alone keeps a single core busy for seconds."""
    commands = {file: [promtool, "test", "rules", str(file)] for file in CASES}
    running = {file: Popen(command, stdout=PIPE, stderr=STDOUT, text=True) for file, command in commands.items()}
    yield running
    for process in running.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name.removesuffix(".test.yaml"))
def test_the_rules_do_what_their_cases_say(tested: dict[Path, Popen[str]], file: Path) -> None:
    said, _ = tested[file].communicate()
    assert tested[file].returncode == 0, said


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {by_name(rule) for rule in rules("alert")} - words("fires") == set()


def test_every_alert_has_a_case_in_which_it_stays_quiet() -> None:
    assert {by_name(rule) for rule in rules("alert")} - words("stays") == {"Watchdog"}


def test_no_two_alerts_have_the_same_name() -> None:
    names = [by_name(rule) for rule in rules("alert")]
    assert len(names) == len(set(names))


def test_recordings_are_named_level_metric_operation() -> None:
    assert [rule["record"] for rule in rules("record") if not LEVEL_METRIC_OPERATION.fullmatch(rule["record"])] == []


@pytest.mark.parametrize("alert", rules("alert"), ids=by_name)
def test_an_alert_says_how_bad_it_is_where_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["labels"]["part"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(alert["annotations"].values())


@pytest.mark.parametrize("alert", rules("alert"), ids=by_name)
def test_an_alerts_runbook_is_there_and_names_the_alert(alert: dict[str, Any]) -> None:
    page = alert["annotations"]["runbook_url"]
    assert re.fullmatch(r"docs/runbooks/[a-z-]+\.md", page)
    assert alert["alert"] in (ROOT / page).read_text()


def test_every_runbook_is_linked_by_an_alert_or_listed_as_operational() -> None:
    linked = {Path(rule["annotations"]["runbook_url"]).name for rule in rules("alert")}
    operational = (RUNBOOKS / "README.md").read_text().partition("\n## Operations\n")[2]
    assert pages() - linked == set(re.findall(r"\]\(([a-z-]+\.md)\)", operational))


def test_every_runbook_is_in_the_index() -> None:
    assert pages() == set(re.findall(r"\]\(([a-z-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))


@pytest.mark.parametrize("page", sorted(pages()))
def test_a_runbook_says_what_to_see_what_to_do_and_when_it_is_over(page: str) -> None:
    headings = re.findall(r"^## (.+)$", (RUNBOOKS / page).read_text(), re.MULTILINE)
    assert headings == ["What it means", "How to see it", "What to do", "How to know it is over"]


@pytest.mark.parametrize("page", sorted(pages() | {"README.md"}))
def test_a_runbook_names_only_what_there_is(page: str) -> None:
    text = (RUNBOOKS / page).read_text()
    assert set(re.findall(r"\bmodelyard ([a-z]+)\b", text)) <= MODELYARD_COMMANDS
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= STACK|`|\n| &&|$)", text)) <= MAKE_TARGETS
    assert set(LEVEL_METRIC_OPERATION.findall(text)) <= {rule["record"] for rule in rules("record")}


@pytest.fixture(scope="module")
def said(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each alert's annotations, which promtool shows when it fires and nothing is expected."""
    folder, documents = tmp_path_factory.mktemp("cases"), dict[Path, dict[str, Any]]()
    for alert in sorted(map(by_name, rules("alert"))):
        file, case = next((file, case) for file, case in cases() if case["name"].startswith(f"{alert} fires"))
        documents.setdefault(file, _without_cases(file))["tests"].append(_expecting_nothing(alert, case))
    for file, document in documents.items():
        (folder / file.name).write_text(yaml.safe_dump(document))
    files = [str(folder / file.name) for file in documents]
    shown = subprocess.run([promtool, "test", "rules", *files], stdout=PIPE, stderr=STDOUT, text=True).stdout
    parts = re.split(r"^ *alertname: (\w+),", shown, flags=re.MULTILINE)
    return {
        alert: "\n".join(line.strip() for line in part.splitlines() if "Annotations:{" in line)
        for alert, part in zip(parts[1::2], parts[2::2], strict=True)
    }


def _without_cases(file: Path) -> dict[str, Any]:
    document = yaml.load(file.read_text(), yaml.BaseLoader)
    rule_files = [str((file.parent / rule_file).resolve()) for rule_file in document["rule_files"]]
    return document | {"rule_files": rule_files, "tests": []}


def _expecting_nothing(alert: str, case: dict[str, Any]) -> dict[str, Any]:
    firing = [test["eval_time"] for test in case["promql_expr_test"] if test["exp_samples"]]
    expected = [{"alertname": alert, "eval_time": firing[-1], "exp_alerts": []}]
    return {key: case[key] for key in ("interval", "input_series") if key in case} | {"alert_rule_test": expected}


@pytest.mark.parametrize("alert", rules("alert"), ids=by_name)
def test_what_an_alert_says_can_be_filled_in(said: dict[str, str], alert: dict[str, Any]) -> None:
    assert alert["annotations"]["runbook_url"] in said[alert["alert"]]
    assert not re.search(r"<error|<no value>|\{\{|  | [.,]", said[alert["alert"]])
