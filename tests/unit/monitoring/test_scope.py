"""Rules and dashboards narrowed to one platform among several."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from modelyard.monitoring import cluster_rule_files, scope

LABELS = {"namespace": "x"}


@pytest.mark.parametrize(
    ("expression", "narrowed"),
    [
        ("pg_up == 0", 'pg_up{namespace="x"} == 0'),
        ("up{}", 'up{namespace="x"}'),
        ('up{job="a",}', 'up{job="a", namespace="x"}'),
        ('up{job="} and {"} == 1', 'up{job="} and {", namespace="x"} == 1'),
        ("rate(a:b:c[5m] offset 3h)", 'rate(a:b:c{namespace="x"}[5m] offset 3h)'),
        ("sum by (job, part) (up)", 'sum by (job, part) (up{namespace="x"})'),
        ("sum(up) by (job)", 'sum(up{namespace="x"}) by (job)'),
        ("a * on (b) group_left () c", 'a{namespace="x"} * on (b) group_left () c{namespace="x"}'),
        ("a unless on () b or vector(1e3)", 'a{namespace="x"} unless on () b{namespace="x"} or vector(1e3)'),
        ('label_replace(a, "b", "$1", "c", "(.+)")', 'label_replace(a{namespace="x"}, "b", "$1", "c", "(.+)")'),
        ("time() - a > -Inf", 'time() - a{namespace="x"} > -Inf'),
        ("a # not b\n+ c", 'a{namespace="x"} # not b\n+ c{namespace="x"}'),
    ],
)
def test_every_series_is_narrowed_and_nothing_else(expression: str, narrowed: str) -> None:
    assert scope.narrowed(expression, LABELS) == narrowed


def test_without_labels_nothing_changes() -> None:
    assert scope.narrowed("a + b", {}) == "a + b"


def test_a_selector_that_names_no_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="without a metric's name"):
        scope.narrowed('{__name__=~"a.*"}', LABELS)


def test_what_rules_give_can_be_told_from_other_platforms() -> None:
    document = {"groups": [{"name": "g", "rules": [{"record": "a:b:c", "expr": "b", "labels": {"part": "p"}}]}]}
    (group,) = scope.rules(document, LABELS, extra={"platform": "team"})["groups"]
    assert group["rules"] == [
        {"record": "a:b:c", "expr": 'b{namespace="x"}', "labels": {"part": "p", "namespace": "x", "platform": "team"}}
    ]


@pytest.mark.parametrize("path", cluster_rule_files(), ids=lambda path: path.stem)
def test_prometheus_accepts_every_rule_when_it_is_narrowed(promtool: str, tmp_path: Path, path: Path) -> None:
    narrowed = scope.rules(yaml.safe_load(path.read_text()), LABELS, extra={})
    (tmp_path / "rules.yaml").write_text(json.dumps(narrowed))
    done = subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
OF_CLUSTERS = [file for file in CASES if file.name.split(".")[0] in {path.stem for path in cluster_rule_files()}]


@pytest.mark.parametrize("file", OF_CLUSTERS, ids=lambda file: file.name.removesuffix(".test.yaml"))
def test_narrowed_rules_see_their_own_series_and_no_others(promtool: str, tmp_path: Path, file: Path) -> None:
    """Every case of the rules again, on series of another namespace: nothing fires, nothing is recorded."""
    document = json.loads(json.dumps(yaml.load(file.read_text(), yaml.BaseLoader)))  # what is referred to, twice
    for rules in document["rule_files"]:
        path = (file.parent / rules).resolve()
        narrowed = scope.rules(yaml.safe_load(path.read_text()), LABELS, extra={})
        (tmp_path / path.name).write_text(json.dumps(narrowed))
    for case in document["tests"]:
        for series in case.get("input_series", ()):
            name, labels = re.fullmatch(r"([\w:]+)(?:\{(.*)\})?", series["series"].strip(), re.DOTALL).groups()  # type: ignore[union-attr]
            series["series"] = f'{name}{{{labels + ", " if labels else ""}namespace="y"}}'
        times = sorted({one["eval_time"] for one in case["promql_expr_test"]})
        nothing = 'count({__name__=~".+:.+|ALERTS", alertname!="Watchdog", namespace="x"})'
        case["promql_expr_test"] = [{"expr": nothing, "eval_time": time, "exp_samples": []} for time in times]
    document["rule_files"] = [Path(rules).name for rules in document["rule_files"]]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "cases.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
