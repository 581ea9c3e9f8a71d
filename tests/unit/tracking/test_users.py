from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard.tracking import commands
from modelyard.tracking.users import Users


class Api:
    """A tracking server's, as far as users go."""

    def __init__(self) -> None:
        self.names = ["admin", "ada"]

    def get(self, _path: str) -> dict[str, Any]:
        return {"users": [{"username": name, "is_admin": name == "admin"} for name in self.names]}

    def send(self, method: str, _path: str, document: dict[str, Any]) -> dict[str, Any]:
        if method == "POST":
            self.names.append(document["username"])
        if method == "DELETE":
            self.names.remove(document["username"])
        return {}


@pytest.fixture
def users() -> Users:
    return Users(Api(), "admin")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["grace", "grace@example.com", "ci/deploy", "Zoë"])
def test_a_name_that_logins_take(users: Users, name: str) -> None:
    assert users.add(name)
    assert name in [user.name for user in users.list()]


@pytest.mark.parametrize("name", ["John Doe", "", "a:b", "tab\there", "x" * 256])
def test_a_name_that_no_login_would_take_is_refused(users: Users, name: str) -> None:
    with pytest.raises(ModelyardError, match="can't be a user's name") as refusal:
        users.add(name)
    assert "without spaces" in refusal.value.fix


def test_a_name_that_is_taken(users: Users) -> None:
    with pytest.raises(AnswerIsNo, match="already"):
        users.add("ada")


def test_who_is_removed_may_come_back_by_an_issuer_and_is_told_so(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        def __enter__(self) -> Users:
            return users

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(commands, "_users", lambda _stack: Found())
    done = CliRunner().invoke(commands.users_app, ["remove", "ada"])
    assert done.exit_code == 0, done.output
    assert "no user any more" in done.output
    assert "next token makes the user anew" in done.output
