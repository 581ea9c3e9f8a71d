"""Roles and databases in a PostgreSQL server: one of each for every consumer.

As a program: `python -m modelyard.provisioning.databases FILE`, a JSON document of `Request`'s fields. Passwords are
read from the files that it names.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from modelyard.errors import ModelyardError
from modelyard.provisioning.database_server import Server, connect

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


class Owner(BaseModel):
    """A role, and the database that it owns.

    Attributes:
        database: The one that is connected to, or one of its own, which is made.
        connections: How many it may open at a time.
        member_of: Roles whose rights it has besides.
        password_file: Where its password is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    database: str
    connections: int
    member_of: tuple[str, ...] = ()
    password_file: Path


class Request(Server):
    """What to make, where, and as whom.

    Attributes:
        user: Who may make roles and databases; left out, `user_file` has the name.
        database: That this user may connect to.
        mark: The platform's name, on a server that others use, too: its roles are marked, and others' left alone.
        mark_file: What tells it from other platforms of that name.
    """

    user: str | None = None
    user_file: Path | None = None
    password_file: Path
    database: str = "postgres"
    mark: str | None = None
    mark_file: Path | None = None
    owners: tuple[Owner, ...]


def ensure(connection: "Connection", owner: Owner, password: str, *, mark: str | None = None) -> list[str]:
    """Have a role with this password and its database.

    Args:
        connection: As a role that may make both; in autocommit mode.
        owner: Whom, and which.
        password: In plain text; the server gets its SCRAM verifier, so that it can't end up in the server's log.
        mark: What a role of ours is known by on a server that others use, too.

    Returns:
        Roles of `member_of` whose rights this one could not be given.
    """
    from psycopg import sql

    user = sql.Identifier(owner.user)
    _have_role(connection, owner.user, mark)
    verifier = connection.pgconn.encrypt_password(password.encode(), owner.user.encode(), b"scram-sha-256").decode()
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            user, sql.Literal(verifier), sql.Literal(owner.connections)
        )
    )
    refused = [role for role in owner.member_of if not _granted(connection, role, owner.user)]
    if owner.database != connection.info.dbname:
        _have_database(connection, owner, mark)
    return refused


def _have_role(connection: "Connection", name: str, mark: str | None) -> None:
    from psycopg import sql

    role = sql.Identifier(name)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
            if mark:
                connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(mark)))


def _have_database(connection: "Connection", owner: Owner, mark: str | None) -> None:
    """Have a database, which nobody but its owner may use."""
    from psycopg import sql

    name, user = sql.Identifier(owner.database), sql.Identifier(owner.user)
    if not _is_superuser(connection):  # as on managed servers: has to belong to the role that owns it
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(user))
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [owner.database]).fetchone():
        # Quick on a server of our own; on others' it would make everybody wait for two checkpoints.
        how = sql.SQL("TEMPLATE template0 ENCODING 'UTF8'" if mark else "STRATEGY file_copy")
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} {}").format(name, user, how))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


def _is_superuser(connection: "Connection") -> bool:
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def _granted(connection: "Connection", role: str, user: str) -> bool:
    """Give a role another one's rights, unless we may not."""
    from psycopg import errors, sql

    try:
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(user)))
    except errors.InsufficientPrivilege:
        return False
    return True


def run(request: Request) -> list[str]:
    """Make all that a request asks for.

    Returns:
        What could not be had, and isn't needed for the platform to work; one sentence each.

    Raises:
        ModelyardError: the server can't be reached in time or refuses us, or something there is somebody else's.
    """
    from psycopg import errors

    user = request.user or (request.user_file.read_text().strip() if request.user_file else "")
    mark = request.mark
    if mark and request.mark_file:
        mark = f"modelyard platform {mark} {request.mark_file.read_text().strip()}"
    said = []
    with connect(request, user, request.password_file.read_text().strip(), request.database) as connection:
        _refuse_without_rights(connection, user)
        if mark:
            connection.execute(
                "SELECT pg_advisory_lock(hashtext('modelyard'))"
            )  # until the end: one platform at a time
            _refuse_others(connection, request.owners, mark)
        for owner in request.owners:
            try:
                refused = ensure(connection, owner, owner.password_file.read_text().strip(), mark=mark)
            except errors.InsufficientPrivilege as error:
                raise ModelyardError(
                    f"{user!r} may not change the role {owner.user!r} or its database: {error}".rstrip(),
                    fix=f'if another administrator made them, let that one run: GRANT "{owner.user}" TO "{user}" '
                    "WITH ADMIN OPTION",
                ) from None
            said += [f"{owner.user} is no member of {role}, which {user} may not give on" for role in refused]
    return said


def _refuse_without_rights(connection: "Connection", user: str) -> None:
    query = "SELECT rolsuper OR rolcreaterole AND rolcreatedb FROM pg_roles WHERE rolname = current_user"
    row = connection.execute(query).fetchone()
    if not (row and row[0]):
        raise ModelyardError(
            f"{user!r} may not make roles and databases",
            fix=f'let an administrator run: ALTER ROLE "{user}" CREATEROLE CREATEDB; or name databases that are there',
        )


def _refuse_others(connection: "Connection", owners: Sequence[Owner], mark: str) -> None:
    """Leave roles and databases alone that this platform didn't make; say how all of them are handed over."""
    from psycopg import sql

    said, statements = [], []
    query = "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY(%s)"
    for role, comment in connection.execute(query, [[owner.user for owner in owners]]):
        if comment != mark:
            whose = f"marked {comment!r}" if comment else "without a platform's mark"
            said.append(f"the role {role!r}, {whose}")
            statements.append(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(mark)))
    query = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    for owner in owners:
        found = connection.execute(query, [owner.database]).fetchone()
        if owner.database != connection.info.dbname and found and found[0] != owner.user:
            said.append(f"the database {owner.database!r}, which belongs to {found[0]!r}")
            names = sql.Identifier(owner.database), sql.Identifier(owner.user)
            statements.append(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*names))
    if said:
        script = " ".join(f"{statement.as_string(connection)};" for statement in statements)
        raise ModelyardError(
            f"this platform didn't make what is there already: {'; '.join(said)}",
            fix="choose another `prefix`; or, if no other platform uses them any more, let an administrator run: "
            + script,
        )


def main() -> None:
    import psycopg

    request = Request.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        said = run(request)
    except (ModelyardError, psycopg.Error) as error:
        sys.exit(f"roles and databases could not be made at {request.host}:{request.port}: {error}")
    for sentence in said:
        print(sentence)
    print(f"{len(request.owners)} roles and their databases are there")


if __name__ == "__main__":
    main()
