"""Ask before runs and models are deleted."""

import sys

from modelyard import descriptor
from modelyard.descriptor import Descriptor
from modelyard.errors import ModelyardError


def deletion(stack: str, *, yes: bool) -> None:
    """Have a person agree to the deletion of a protected platform's data.

    Raises:
        ModelyardError: they did not, or nobody could be asked.
    """
    try:
        platform = descriptor.find(stack)
    except ModelyardError:
        return  # it was never completely up: nothing of worth is in it
    if yes or not platform.protect:
        return
    print(f"platform {stack!r} is protected, and removing it deletes {_content(platform)}.", file=sys.stderr)
    if not sys.stdin.isatty():
        raise ModelyardError(
            "nobody is here to agree to that", fix=f"`make down STACK={stack} YES=1` agrees beforehand"
        )
    if input(f"Type {stack} to delete them: ").strip() != stack:
        raise ModelyardError("nothing was deleted", fix=f"`make stop STACK={stack}` only pauses the platform")


def _content(platform: Descriptor) -> str:
    import psycopg
    from psycopg import sql

    if platform.registry_database is None:
        return "its data"
    database = platform.registry_database.databases["mlflow"]
    try:
        with psycopg.connect(
            host=platform.registry_database.host,
            port=platform.registry_database.port,
            dbname=database.name,
            user=database.user,
            password=database.password_file.read_text().strip(),
            connect_timeout=3,
        ) as connection:
            runs, versions = (
                connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
                for table in ("runs", "model_versions")
            )
    except (OSError, psycopg.Error):
        return "all of its runs and models"
    return f"{runs[0] if runs else 0} runs and {versions[0] if versions else 0} model versions"
