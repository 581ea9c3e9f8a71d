"""Recording and alert rules: what promtool says of them, and what every alert owes its reader."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard.monitoring import rule_files

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
MODELYARD_COMMANDS = {"status", "env", "logs", "open", "deploy", "undeploy", "models"}
MAKE_TARGETS = {"up", "down", "stop", "start"}
LEVEL_METRIC_OPERATION = re.compile(r"[a-z_]+:[a-z_0-9]+:[a-z0-9_]+")


@cache
def rules(kind: str) -> list[dict[str, Any]]:
    documents = [yaml.safe_load(file.read_text()) for file in rule_files()]
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


def test_there_are_rules_for_every_part() -> None:
    assert {file.stem for file in rule_files()} == {
        *("artifact-store", "machine", "monitoring", "registry-database", "serving-cluster", "tracking-server")
    }


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", *map(str, rule_files())], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name.removesuffix(".test.yaml"))
def test_the_rules_do_what_their_cases_say(promtool: str, file: Path) -> None:
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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


@pytest.mark.parametrize("alert", rules("alert"), ids=by_name)
def test_what_an_alert_says_can_be_filled_in(promtool: str, tmp_path: Path, alert: dict[str, Any]) -> None:
    says = _what_it_says(promtool, tmp_path, alert["alert"])
    assert alert["annotations"]["runbook_url"] in says
    assert not re.search(r"<error|<no value>|\{\{|  | [.,]", says)


def _what_it_says(promtool: str, folder: Path, alert: str) -> str:
    """The annotations that promtool shows when the alert fires and nothing is expected."""
    file, case = next((file, case) for file, case in cases() if case["name"].startswith(f"{alert} fires"))
    firing = [test["eval_time"] for test in case["promql_expr_test"] if test["exp_samples"]]
    document = {
        "rule_files": [str(rule_file) for rule_file in rule_files()],
        "evaluation_interval": "1m",
        "tests": [
            {key: case[key] for key in ("interval", "input_series") if key in case}
            | {"alert_rule_test": [{"alertname": alert, "eval_time": firing[-1], "exp_alerts": []}]}
        ],
    }
    changed = folder / file.name
    changed.write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", str(changed)]
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return "\n".join(line.strip() for line in shown.splitlines() if "Annotations:{" in line)
