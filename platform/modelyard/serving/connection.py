"""A connection to the platform's `modelyard` database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from modelyard.errors import ModelyardError, Unreachable
from modelyard.serving import schema
from modelyard.serving.settings import DatabaseSettings

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(settings: DatabaseSettings, *, timeout: int = 5) -> Connection:
    """Connect, and bring the tables up to date.

    Args:
        settings: Which database.
        timeout: Whole seconds until no answer counts as unreachable.

    Raises:
        Unreachable: the database doesn't answer.
        ModelyardError: its password file is missing, or its tables are of a newer Modelyard.
    """
    try:
        password = settings.password_file.read_text().strip()
    except OSError as error:
        raise ModelyardError(
            f"the password of the {settings.name} database can't be read: {error}", fix="run `make up` again"
        ) from error
    with reachable(f"the registry database at {settings.host}:{settings.port}"):
        connection = psycopg.connect(
            host=settings.host,
            port=settings.port,
            dbname=settings.name,
            user=settings.user,
            password=password,
            sslmode=settings.sslmode,
            sslrootcert=str(settings.sslrootcert) if settings.sslrootcert else None,
            connect_timeout=timeout,
            autocommit=True,
            application_name="modelyard",
            tcp_user_timeout=timeout * 1000,
        )
        schema.migrate(connection)
    return connection


@contextmanager
def reachable(what: str = "the registry database") -> Iterator[None]:
    """Turn a lost or refused connection into words.

    Raises:
        Unreachable: the database went away.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise Unreachable(
            f"{what} does not answer: {reason}", fix="`modelyard status` shows what is down; `make up` mends it"
        ) from error
