"""The tables of serving, and how they come to be: schema `serving` of the `modelyard` database."""

from typing import Any, LiteralString

import psycopg

from modelyard.errors import ModelyardError

CHANNEL: LiteralString = "modelyard_serving"  # notified whenever what should be served changes
_LOCK = 7_364_251  # one migration at a time

# Migration N brings version N to N + 1. Never change one that was released; add another.
MIGRATIONS: tuple[LiteralString, ...] = (
    """
    CREATE SEQUENCE serving.generations;
    CREATE TABLE serving.desired_pools (
        model text NOT NULL,
        pool text NOT NULL CHECK (pool IN ('stable', 'canary')),
        version integer NOT NULL CHECK (version > 0),
        replicas integer NOT NULL CHECK (replicas > 0),
        weight integer NOT NULL CHECK (weight BETWEEN 0 AND 100),
        generation bigint NOT NULL,
        source text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (model, pool)
    );
    CREATE TABLE serving.observed_pools (
        model text NOT NULL,
        pool text NOT NULL,
        version integer,
        generation bigint NOT NULL,
        ready integer NOT NULL,
        state text NOT NULL,
        message text NOT NULL,
        observed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (model, pool)
    );
    CREATE TABLE serving.history (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL,
        model text NOT NULL,
        pool text NOT NULL,
        version integer,
        weight integer NOT NULL,
        UNIQUE (model, pool, at)
    );

    CREATE FUNCTION serving.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'serving.history is append-only'; END $$;
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON serving.history
        FOR EACH STATEMENT EXECUTE FUNCTION serving.refuse();

    CREATE FUNCTION serving.announce() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('modelyard_serving', ''); RETURN NULL; END $$;
    CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON serving.desired_pools
        FOR EACH STATEMENT EXECUTE FUNCTION serving.announce();
    """,
)


def migrate(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Bring the tables to the newest version; does nothing if they are.

    Args:
        connection: In autocommit mode.

    Raises:
        ModelyardError: a newer Modelyard has been here.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("CREATE SCHEMA IF NOT EXISTS serving")
        connection.execute("CREATE TABLE IF NOT EXISTS serving.schema_version (version integer NOT NULL)")
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise ModelyardError(
                f"the serving tables have version {version}, this Modelyard knows versions up to {len(MIGRATIONS)}",
                fix="use the Modelyard that the platform was last brought up with, or a newer one",
            )
        for migration in MIGRATIONS[version:]:
            connection.execute(migration)
        connection.execute("DELETE FROM serving.schema_version")
        connection.execute("INSERT INTO serving.schema_version VALUES (%s)", [len(MIGRATIONS)])


def _version(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """How many migrations have been applied."""
    found = connection.execute("SELECT to_regclass('serving.schema_version') IS NOT NULL").fetchone()
    if not (found and found[0]):
        return 0
    row = connection.execute("SELECT version FROM serving.schema_version").fetchone()
    return int(row[0]) if row else 0
