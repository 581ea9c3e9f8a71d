"""Looks whether databases that somebody else made can be used by their users.

As a program: `python -m modelyard.provisioning.database_logins FILE`, a JSON document of `Request`'s fields. Passwords
are read from the files that it names.
"""

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from modelyard.errors import ModelyardError
from modelyard.provisioning.database_server import Server, connect


class Login(BaseModel):
    """A user of a database.

    Attributes:
        makes_tables: Whether it has to be able to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    database: str
    password_file: Path
    makes_tables: bool = True


class Request(Server):
    """Whom to look for, and where."""

    logins: tuple[Login, ...]


def run(request: Request) -> None:
    """Log in as everybody.

    Raises:
        ModelyardError: somebody can't, or may not make tables.
    """
    for login in request.logins:
        password = login.password_file.read_text().strip()
        with connect(request, login.user, password, login.database) as connection:
            query = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
            row = connection.execute(query).fetchone()
            if login.makes_tables and not (row and row[0]):
                raise ModelyardError(
                    f"{login.user!r} may not make tables in the database {login.database!r}",
                    fix=f'let an administrator run: ALTER DATABASE "{login.database}" OWNER TO "{login.user}"',
                )


def main() -> None:
    import psycopg

    request = Request.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        run(request)
    except (ModelyardError, psycopg.Error) as error:
        sys.exit(f"the databases at {request.host}:{request.port} can't be used: {error}")
    print(f"{len(request.logins)} users get into their databases")


if __name__ == "__main__":
    main()
