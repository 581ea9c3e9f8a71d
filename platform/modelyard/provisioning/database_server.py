"""A PostgreSQL server that somebody else runs: how to connect, and in words why that fails."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from modelyard.errors import ModelyardError

if TYPE_CHECKING:
    import psycopg

FINAL = {
    "authentication failed": "the server doesn't take this user with this password: is the Secret right?",
    "no pg_hba.conf entry": "the server lets this user in neither from here nor, maybe, without TLS (`sslmode`)",
    "certificate verify failed": "the server's certificate is not by `certificate_authority`: is it that server's?",
    "signature failure": "the server's certificate is not by `certificate_authority`: is it that server's?",
    "does not match host name": "the server's certificate is for another host: write `host` as the certificate has it",
    "does not support SSL": "the server has no TLS: turn it on there, or say `unencrypted: true`",
    "root certificate file": "`certificate_authority` has no certificate (PEM)",
    " does not exist": "write the name of one that is there",
    "too many connections": "the role or the server has no connection left: its limit is too low, or others have them",
    "permission denied for database": "let its owner run: GRANT CONNECT ON DATABASE … TO …",
}
"""What won't be otherwise in a moment, and what to do then."""


class Server(BaseModel):
    """Where it is.

    Attributes:
        sslmode: https://www.postgresql.org/docs/current/libpq-ssl.html
        sslrootcert: Certificates (PEM) that the server's is checked against.
        seconds: How long to wait for it to accept connections.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int
    sslmode: str = "prefer"
    sslrootcert: Path | None = None
    seconds: float = 120


def connect(server: Server, user: str, password: str, database: str) -> "psycopg.Connection[Any]":
    """Connect, in autocommit mode; a new pod has to try for a moment until it is let out.

    Raises:
        ModelyardError: the server can't be reached in time, or refuses the login.
    """
    import psycopg

    deadline = time.monotonic() + server.seconds
    while True:
        try:
            return psycopg.connect(
                host=server.host,
                port=server.port,
                user=user,
                password=password,
                dbname=database,
                autocommit=True,
                connect_timeout=5,
                sslmode=server.sslmode,
                sslrootcert=str(server.sslrootcert) if server.sslrootcert else None,
            )
        except psycopg.OperationalError as error:
            fix = next((fix for text, fix in FINAL.items() if text in str(error)), None)
            if fix or time.monotonic() > deadline:
                raise ModelyardError(
                    f"{user!r} can't connect to the database {database!r}: {error}".rstrip(),
                    fix=fix
                    or "are `host` and `port` right, does its firewall let the cluster in, and does `reached_at`"
                    " name where it is?",
                ) from None
            time.sleep(1)
