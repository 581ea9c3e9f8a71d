"""MLflow's schema moves with MLflow: snapshot first, then the migration, and a way back."""

import subprocess
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db.utils import InitialBase, _get_alembic_config, _get_latest_schema_revision

from modelyard.errors import ModelyardError
from modelyard_infra.parts.registry_database import _programs
from modelyard_infra.resources.schema_migration import SchemaMigrationProvider

OLDER = "bda7b8c39065"  # an MLflow of 2023


@pytest.fixture
def old_database(platform, tmp_path):
    """A database as an older MLflow left it, with an experiment in it."""
    part = platform.descriptor.registry_database
    secret = (platform.folder / "secrets" / "registry_database-superuser").read_text().strip()
    address = {"host": part.host, "port": part.port, "user": "postgres", "password": secret}
    name = f"old_{tmp_path.name[-1]}"
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:postgres:{secret}\n")
    passwords.chmod(0o600)
    env = {"PGPASSFILE": str(passwords)}
    engine = sqlalchemy.create_engine(
        f"postgresql://postgres@{part.host}:{part.port}/{name}", connect_args={"passfile": str(passwords)}
    )
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(str(engine.url))
        config.attributes["connection"] = connection
        command.upgrade(config, OLDER)
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'old', 'active')"
            )
        )
    engine.dispose()
    yield {"uri": str(engine.url), "env": env, "name": name, "address": address}
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrate(folder: Path, database, **changes):
    (folder / "logs").mkdir(exist_ok=True)
    inputs = {
        "folder": str(folder),
        "version": "next",
        "uri": database["uri"],
        "env": database["env"],
        "pg_dump": str(_programs.programs() / "pg_dump"),
    }
    return SchemaMigrationProvider().make(inputs | changes)


def test_an_older_schema_is_brought_to_the_installed_version_and_keeps_its_data(old_database, tmp_path):
    assert migrate(tmp_path, old_database) == {"revision": _get_latest_schema_revision()}
    with psycopg.connect(**old_database["address"], dbname=old_database["name"]) as connection:
        assert connection.execute("SELECT name FROM experiments WHERE experiment_id = 7").fetchone() == ("old",)


def test_the_snapshot_taken_before_it_restores_the_older_schema(old_database, tmp_path):
    migrate(tmp_path, old_database)
    (snapshot,) = (tmp_path / "snapshots").iterdir()
    assert OLDER in snapshot.name
    with psycopg.connect(**old_database["address"], dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {old_database['name']}")
        connection.execute(f"CREATE DATABASE {old_database['name']}")
    restore = [str(_programs.programs() / "pg_restore"), "--exit-on-error", "--single-transaction"]
    restore += [f"--dbname={old_database['uri']}", str(snapshot)]
    subprocess.run(restore, env=old_database["env"], check=True, capture_output=True)
    with psycopg.connect(**old_database["address"], dbname=old_database["name"]) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (OLDER,)


def test_a_migrated_schema_is_left_alone_without_a_snapshot(old_database, tmp_path):
    migrate(tmp_path, old_database)
    migrate(tmp_path, old_database)
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_no_migration_runs_without_its_snapshot(old_database, tmp_path):
    with pytest.raises(ModelyardError, match="migration of MLflow's schema failed"):
        migrate(tmp_path, old_database, pg_dump="/bin/false")
    with psycopg.connect(**old_database["address"], dbname=old_database["name"]) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (OLDER,)
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_a_database_that_is_away_is_an_error_with_the_last_lines(tmp_path):
    away = {"uri": "postgresql://nobody@127.0.0.1:1/none", "env": {}}
    with pytest.raises(ModelyardError, match="Connection refused"):
        migrate(tmp_path, away)
