import json
import threading
import time

import httpx
import pytest

from modelyard.processes.ports import any_free_port
from modelyard.serving.agent import main
from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.deployments import open_deployments
from modelyard.serving.pools import DesiredPool, HistoryEntry, ObservedPool
from modelyard.serving.replicas import replica_spec
from modelyard.serving.telemetry import Telemetry, serve, telemetry_page, write_targets
from modelyard.serving.world import NewReplica
from tests.unit.serving.test_replicas import SETTINGS, spec


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("content", ["", "{}", '{"port": "x"}'])
def test_settings_that_are_none_end_the_agent_with_a_message(tmp_path, capsys, content):
    (tmp_path / "agent.json").write_text(content)
    assert main([str(tmp_path / "agent.json")]) == 2
    assert "agent.json does not hold the settings" in capsys.readouterr().err


def test_the_agent_needs_its_settings(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.fixture
def link(database):
    link = DatabaseLink(database, threading.Event().set)
    link.start()
    yield link
    link.stop(5)


def test_a_deployment_is_noticed_at_once(link, database):
    wait_until(lambda: link.reachable)
    assert link.desired == ()
    with open_deployments(database) as deployments:
        deployments.deploy("bike", 1, source="s")
    wait_until(lambda: link.desired, seconds=0.5)


def test_what_is_observed_and_history_are_written(link, database):
    with open_deployments(database) as deployments:
        link.observe((ObservedPool("bike", "stable", 1, 1, 1, "serving"),))
        now = deployments.connection.execute("SELECT now()").fetchone()[0]
        link.record((HistoryEntry(now, "bike", "stable", 1, 100),))
        wait_until(lambda: deployments.observed() and deployments.history())
    assert link.unwritten == ()


def test_history_waits_while_the_database_is_away(database):
    link = DatabaseLink(database.model_copy(update={"port": any_free_port()}), threading.Event().set)
    link.start()
    link.record((HistoryEntry(None, "bike", "stable", 1, 100),))
    wait_until(lambda: link.reachable is False)
    assert len(link.unwritten) == 1
    link.stop(5)


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    port = any_free_port()
    server = serve(port, lambda path, _: telemetry_page(telemetry, path))
    telemetry.url = f"http://127.0.0.1:{port}"
    yield telemetry
    server.shutdown()
    server.server_close()


def test_the_agent_is_not_healthy_before_envoy_has_its_files(telemetry):
    assert httpx.get(f"{telemetry.url}/health", trust_env=False).status_code == 503
    telemetry.report((), (), database_reachable=True)
    assert httpx.get(f"{telemetry.url}/health", trust_env=False).status_code == 200


def test_metrics_count_replicas_by_model_pool_and_version(telemetry):
    desired = DesiredPool("bike", "stable", 2, 3, 100, 1)
    telemetry.report([desired], [ObservedPool("bike", "stable", 1, 1, 2, "starting")], database_reachable=True)
    text = httpx.get(f"{telemetry.url}/metrics", trust_env=False).text
    assert 'modelyard_replicas_ready{model="bike",pool="stable",version="2"} 2.0' in text
    assert 'modelyard_replicas_desired{model="bike",pool="stable",version="2"} 3.0' in text


def test_metrics_of_what_is_not_deployed_any_more_are_gone(telemetry):
    desired = DesiredPool("bike", "stable", 2, 3, 100, 1)
    telemetry.report([desired], [ObservedPool("bike", "stable", 1, 1, 2, "starting")], database_reachable=True)
    telemetry.report((), (), database_reachable=True)
    assert "bike" not in httpx.get(f"{telemetry.url}/metrics", trust_env=False).text


def test_prometheus_gets_a_list_of_replicas(tmp_path):
    new = NewReplica("bike", 3, 1)
    old = replica_spec(SETTINGS, NewReplica("bike", 2, 1), tmp_path, (20003, 20004))
    replicas = [(spec(new), new), (old, NewReplica("bike", 2, 1))]
    write_targets(tmp_path / "targets.json", replicas, {("bike", 3): "canary"})
    first, second = json.loads((tmp_path / "targets.json").read_text())
    assert first == {
        "targets": ["127.0.0.1:20002"],
        "labels": {"model": "bike", "version": "3", "pool": "canary", "replica": "1"},
    }
    assert second["labels"]["pool"] == "retiring"
