"""Dashboards: documents that Grafana takes, and queries that Prometheus understands, about metrics that there are."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelyard.monitoring import cluster_rule_files, dashboards, scope
from modelyard.monitoring.panels import PAGES
from tests.unit.monitoring.test_rules import our_metrics

OTHERS = {  # of exporters and Prometheus itself; tests/cluster asks a real one for these
    *("ALERTS", "up", "pg_up", "pg_database_size_bytes", "probe_success", "probe_http_status_code"),
    *("pg_stat_database_blks_hit", "pg_stat_database_blks_read", "pg_stat_database_deadlocks"),
}


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in dashboards.documents("team", {"namespace": "x"}).items()}


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expressions(document: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in panels(document) for target in panel["targets"]]


def test_there_is_one_for_every_part_and_one_for_all(made: dict[str, dict[str, Any]]) -> None:
    assert set(made) == {"platform", "serving", "tracking-server", "registry-database", "artifact-store"}


def test_prometheus_understands_every_query(promtool: str, made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    every = [expression for document in made.values() for expression in expressions(document)]
    rules = [{"record": f"query_{number}", "expr": expression} for number, expression in enumerate(every)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 30


def test_every_query_is_about_metrics_that_there_are() -> None:
    every = [
        query.expression for page in PAGES.values() for row in page.rows for one in row.panels for query in one.queries
    ]
    marked = " ".join(scope.narrowed(expression, {"marked": "x"}) for expression in every)
    named = set(re.findall(r"([A-Za-z_:][\w:]*)\{[^}]*marked=", marked))
    recorded = set(re.findall(r"record: (\S+)", "\n".join(path.read_text() for path in cluster_rule_files())))
    assert named - recorded - our_metrics() - OTHERS == set()


def test_every_query_is_narrowed_to_the_platform(made: dict[str, dict[str, Any]]) -> None:
    for document in made.values():
        for expression in expressions(document):
            assert 'namespace="x"' in expression


def test_every_panel_has_a_title_a_unit_and_a_place_of_its_own(made: dict[str, dict[str, Any]]) -> None:
    for document in made.values():
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels(document)]
        assert len(places) == len(set(places))
        for panel in panels(document):
            assert panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= dashboards.WIDTH


def test_every_query_asks_the_prometheus_that_the_reader_chose(made: dict[str, dict[str, Any]]) -> None:
    for document in made.values():
        (variable,) = document["templating"]["list"]
        assert (variable["name"], variable["type"], variable["query"]) == ("source", "datasource", "prometheus")
        sources = {target["datasource"]["uid"] for panel in panels(document) for target in panel["targets"]}
        assert sources == {"${source}"}


def test_addresses_of_dashboards_are_short_enough_and_their_own() -> None:
    for stack in ("team", "a-stack-with-a-name-as-long-as-they-may-be"):
        names = [json.loads(text)["uid"] for text in dashboards.documents(stack, {}).values()]
        assert len(names) == len(set(names))
        assert all(len(name) <= 40 for name in names)
