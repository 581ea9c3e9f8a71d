"""Ask before runs and models are deleted."""

import sys

from modelyard import descriptor, home
from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard_infra.commands import state


def deletion(stack: str, *, yes: bool) -> None:
    """Have a person agree to the deletion of a protected platform's data.

    What counts is what is there, not the descriptor: that may be damaged, or never have been written.

    Raises:
        ModelyardError: they did not, or nobody could be asked.
    """
    if yes or not _is_protected(stack):
        return
    print(f"platform {stack!r} is protected, and removing it deletes {_content(stack)}.", file=sys.stderr)
    if not sys.stdin.isatty():
        raise ModelyardError(
            "nobody is here to agree to that", fix=f"`make down STACK={stack} YES=1` agrees beforehand"
        )
    if input(f"Type {stack} to delete them: ").strip() != stack:
        raise AnswerIsNo("nothing was deleted", fix=f"`make stop STACK={stack}` only pauses the platform")


def _is_protected(stack: str) -> bool:
    """Whether its state protects anything; without a state, what the descriptor says; else whether there is data."""
    resources = state.resources(stack)
    if resources is not None:
        return any(resource.get("protect") for resource in resources)
    try:
        return descriptor.find(stack).protect
    except ModelyardError:
        return any(home.platform_folder(stack).glob("*/data/PG_VERSION"))


def _content(stack: str) -> str:
    import psycopg
    from psycopg import sql

    try:
        platform = descriptor.find(stack)
    except ModelyardError:
        return "all of its runs and models"
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
            sslmode="disable",
            options="",
        ) as connection:
            runs, versions = (
                connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
                for table in ("runs", "model_versions")
            )
    except (OSError, psycopg.Error):
        return "all of its runs and models"
    return f"{runs[0] if runs else 0} runs and {versions[0] if versions else 0} model versions"
