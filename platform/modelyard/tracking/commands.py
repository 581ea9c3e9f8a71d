"""`modelyard users`: what is typed, and what is printed.

Imports only what `--help` needs; the work is done by `users`.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from modelyard.tracking.users import Users

users_app = typer.Typer(no_args_is_help=True, help="People and programs who may log in to the tracking server.")

Stack = Annotated[
    str | None, typer.Option("--stack", help="Which platform; without it MODELYARD_STACK, or the only one there is.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="The user's NAME.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(users_app, name="users")


@users_app.command("list")
def list_users(stack: Stack = None, as_json: Json = False) -> None:
    """Show who may log in."""
    with _users(stack) as users:
        found = users.list()
    if as_json:
        print(json.dumps([dataclasses.asdict(user) for user in found]))
    else:
        print("\n".join(f"{user.name}{'  (administrator)' if user.admin else ''}" for user in found))


@users_app.command("add")
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything.")] = False,
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Have one more; its password is generated, and shown only now."""
    with _users(stack) as users:
        password = users.add(name, admin=admin)
    _print_password(name, password, as_json)


@users_app.command("password")
def password(name: Name, stack: Stack = None, as_json: Json = False) -> None:
    """Give a user another password, which is shown only now."""
    with _users(stack) as users:
        new = users.new_password(name)
    _print_password(name, new, as_json)


@users_app.command("admin")
def admin(
    name: Name,
    revoke: Annotated[bool, typer.Option("--revoke", help="Not any more.")] = False,
    stack: Stack = None,
) -> None:
    """Let a user do everything, or not any more."""
    with _users(stack) as users:
        users.make_admin(name, admin=not revoke)
    print(f"{name} is {'no administrator any more' if revoke else 'an administrator'}")


@users_app.command("remove")
def remove(name: Name, stack: Stack = None) -> None:
    """Take a user away; runs and models stay. Whom a trusted issuer knows comes back with the issuer's next token."""
    with _users(stack) as users:
        users.remove(name)
    print(f"{name} is no user any more: the password and all tokens that were made here end within 15 seconds")
    print(f"where a trusted issuer (jwt) knows {name}, its next token makes the user anew: take them off there, too")


@users_app.command("token")
def token(
    name: Name,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is good.")] = 90,
    stack: Stack = None,
) -> None:
    """Print a token for a program: export MLFLOW_TRACKING_TOKEN="$(modelyard users token ci)"."""
    with _users(stack) as users:
        print(users.token(name, days=days))


def _print_password(name: str, password: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"name": name, "password": password}))
    else:
        print(f"{name}'s password, which is shown only now: {password}")


@contextmanager
def _users(stack: str | None) -> "Iterator[Users]":
    from modelyard.descriptor import here
    from modelyard.tracking import users

    with users.of(here(stack, pods="tracking-server")) as found:
        yield found
