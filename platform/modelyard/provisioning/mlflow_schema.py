"""Bring MLflow's database schema to the installed version: snapshot first if there is anything to lose.

Run as a program; prints the revision that the schema is at afterwards. Everything else goes to stderr.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from mlflow.store.db.utils import (
    _get_latest_schema_revision,
    _get_schema_version,
    _initialize_tables,
    _is_empty_database,
    _upgrade_db,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--snapshots", type=Path, required=True)
    parser.add_argument("--pg-dump", required=True)
    args = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)

    def snapshot(url: sqlalchemy.URL, revision: str | None) -> str:
        return str(take_snapshot(url, args.snapshots, args.pg_dump, revision))

    print(migrate(args.uri, snapshot))


def migrate(uri: str, snapshot: Callable[[sqlalchemy.URL, str | None], str]) -> str | None:
    """Bring a database to the installed MLflow's version; nothing happens if it is there.

    Args:
        uri: The database.
        snapshot: Told of the database and its revision before an existing schema is touched; says where the snapshot
            is. If it raises, nothing is touched.

    Returns:
        The revision.
    """
    engine = sqlalchemy.create_engine(uri)
    wanted = _get_latest_schema_revision()
    if _is_empty_database(engine):
        _initialize_tables(engine)
    elif (found := _get_schema_version(engine)) != wanted:
        print(f"snapshot of revision {found}: {snapshot(engine.url, found)}", file=sys.stderr)
        _upgrade_db(engine)
    revision: str | None = _get_schema_version(engine)
    return revision


def take_snapshot(url: sqlalchemy.URL, folder: Path, pg_dump: str, revision: str | None) -> Path:
    """Dump the database in PostgreSQL's custom format.

    Returns:
        The file: complete, or not there.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = folder / f"{url.database}-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    unfinished = place.with_suffix(".unfinished")
    target = f"host={url.host} port={url.port} user={url.username} dbname={url.database}"
    subprocess.run([pg_dump, "--format=custom", f"--file={unfinished}", f"--dbname={target}"], check=True)
    unfinished.rename(place)
    return place


if __name__ == "__main__":
    main()
