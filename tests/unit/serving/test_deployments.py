from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from modelyard.errors import AnswerIsNo, ModelyardError, Unreachable
from modelyard.serving.deployments import open_deployments
from modelyard.serving.pools import HistoryEntry, ObservedPool
from modelyard.serving.schema import CHANNEL, MIGRATIONS, migrate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def deployments(database):
    with open_deployments(database) as deployments:
        yield deployments


def pools(deployments):
    return {(pool.model, pool.pool): (pool.version, pool.replicas, pool.weight) for pool in deployments.desired()}


def test_migrating_twice_changes_nothing(deployments):
    deployments.deploy("bike", 1, source="s")
    migrate(deployments.connection)
    assert len(deployments.desired()) == 1


def test_tables_of_a_newer_modelyard_are_refused(database, deployments):
    deployments.connection.execute("UPDATE serving.schema_version SET version = %s", [len(MIGRATIONS) + 1])
    with pytest.raises(ModelyardError, match="knows versions up to"):
        open_deployments(database)


def test_deploying_makes_the_version_stable(deployments):
    deployments.deploy("bike", 3, source="mlflow-artifacts:/x", replicas=2)
    (pool,) = deployments.desired()
    assert (pool.version, pool.replicas, pool.weight, pool.source) == (3, 2, 100, "mlflow-artifacts:/x")


def test_replicas_stay_as_they_are_unless_said(deployments):
    deployments.deploy("bike", 1, source="s", replicas=3)
    assert deployments.deploy("bike", 2, source="s").replicas == 3


def test_every_deployment_is_a_new_generation(deployments):
    first = deployments.deploy("bike", 1, source="s")
    assert deployments.deploy("bike", 1, source="s").generation > first.generation


@pytest.mark.parametrize("replicas", [-1, 65])
def test_impossible_numbers_of_replicas_are_refused(deployments, replicas):
    with pytest.raises(ModelyardError, match="from 1 to 64"):
        deployments.deploy("bike", 1, source="s", replicas=replicas)


def test_undeploying_takes_the_canary_too(deployments):
    deployments.deploy("bike", 1, source="s")
    deployments.set_canary("bike", 2, source="s", weight=10)
    deployments.undeploy("bike")
    assert deployments.desired() == ()


def test_undeploying_what_is_not_there_names_what_is(deployments):
    deployments.deploy("bike", 1, source="s")
    with pytest.raises(AnswerIsNo, match="deployed models: bike"):
        deployments.undeploy("bikes")


def test_weights_of_a_model_add_up_to_100(deployments):
    deployments.deploy("bike", 1, source="s")
    deployments.set_canary("bike", 2, source="s", weight=10)
    assert pools(deployments) == {("bike", "stable"): (1, 1, 90), ("bike", "canary"): (2, 1, 10)}
    deployments.set_weight("bike", 35)
    assert pools(deployments) == {("bike", "stable"): (1, 1, 65), ("bike", "canary"): (2, 1, 35)}
    deployments.remove_canary("bike")
    assert pools(deployments) == {("bike", "stable"): (1, 1, 100)}


def test_changing_a_weight_is_no_new_generation(deployments):
    deployments.deploy("bike", 1, source="s")
    deployments.set_canary("bike", 2, source="s", weight=10)
    before = [pool.generation for pool in deployments.desired()]
    deployments.set_weight("bike", 50)
    assert [pool.generation for pool in deployments.desired()] == before


def test_promoting_makes_the_canary_stable(deployments):
    deployments.deploy("bike", 1, source="one", replicas=2)
    deployments.set_canary("bike", 2, source="two", weight=10)
    assert deployments.promote("bike").source == "two"
    assert pools(deployments) == {("bike", "stable"): (2, 2, 100)}


@pytest.mark.parametrize("weight", [-1, 101])
def test_a_weight_is_a_percentage(deployments, weight):
    deployments.deploy("bike", 1, source="s")
    with pytest.raises(ModelyardError, match="0 to 100"):
        deployments.set_canary("bike", 2, source="s", weight=weight)
    assert pools(deployments) == {("bike", "stable"): (1, 1, 100)}


def test_a_model_that_is_not_deployed_gets_no_canary(deployments):
    with pytest.raises(AnswerIsNo, match="nothing is deployed"):
        deployments.set_canary("bike", 2, source="s", weight=10)


def test_a_weight_needs_a_canary(deployments):
    deployments.deploy("bike", 1, source="s")
    with pytest.raises(AnswerIsNo, match="has no canary"):
        deployments.set_weight("bike", 10)


def test_a_change_is_announced(database, deployments):
    with open_deployments(database) as listening:
        listening.connection.execute(f"LISTEN {CHANNEL}")
        deployments.deploy("bike", 1, source="s")
        assert list(listening.connection.notifies(timeout=5, stop_after=1))


def test_what_is_observed_replaces_what_was(deployments):
    deployments.observe([ObservedPool("bike", "stable", None, 1, 0, "starting", "0 of 1")])
    deployments.observe([seen := ObservedPool("bike", "stable", 1, 1, 1, "serving")])
    assert deployments.observed() == (seen,)


def test_which_model_was_live_at_a_moment_has_an_answer(deployments):
    deployments.record(
        [
            HistoryEntry(NOON, "bike", "stable", 1, 100),
            HistoryEntry(NOON + HOUR, "bike", "stable", 2, 100),
            HistoryEntry(NOON + 2 * HOUR, "bike", "stable", None, 0),
        ]
    )
    versions = [
        [entry.version for entry in deployments.live_at(NOON + minutes * timedelta(minutes=1))]
        for minutes in (-1, 30, 90, 150)
    ]
    assert versions == [[], [1], [2], []]


def test_history_shows_the_latest_change_first(deployments):
    deployments.record([HistoryEntry(NOON, "a", "stable", 1, 100), HistoryEntry(NOON + HOUR, "b", "stable", 1, 100)])
    assert [entry.model for entry in deployments.history()] == ["b", "a"]
    assert [entry.model for entry in deployments.history("a")] == ["a"]


def test_an_entry_that_is_written_twice_is_there_once(deployments):
    entry = HistoryEntry(NOON, "bike", "stable", 1, 100)
    deployments.record([entry])
    deployments.record([entry])
    assert deployments.history() == (entry,)


@pytest.mark.parametrize("statement", ["DELETE FROM", "TRUNCATE", "UPDATE"])
def test_history_can_not_be_rewritten(deployments, statement):
    query = f"{statement} serving.history" + (" SET version = 9" if statement == "UPDATE" else "")
    deployments.record([HistoryEntry(NOON, "bike", "stable", 1, 100)])
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        deployments.connection.execute(query)


def test_a_database_that_is_away_is_unreachable(database):
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        open_deployments(database.model_copy(update={"port": 1}))


def test_a_missing_password_file_is_named(database, tmp_path):
    with pytest.raises(ModelyardError, match="nowhere"):
        open_deployments(database.model_copy(update={"password_file": tmp_path / "nowhere"}))
