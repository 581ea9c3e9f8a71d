import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.tracking import own_users


@dataclass
class OneUser:
    password: str
    is_admin: bool = False


class Store:
    """MLflow's users, in memory."""

    def __init__(self, **known: OneUser) -> None:
        self.known = known
        self.changes = 0

    def authenticate_user(self, username: str, password: str) -> bool:
        return username in self.known and self.known[username].password == password

    def has_user(self, username: str) -> bool:
        return username in self.known

    def get_user(self, username: str) -> OneUser:
        return self.known[username]

    def create_user(self, username: str, password: str, is_admin: bool = False) -> object:
        if username in self.known:
            raise ValueError("already exists")
        self.changes += 1
        self.known[username] = OneUser(password, is_admin)
        return self.known[username]

    def update_user(self, username: str, password: str | None = None, is_admin: bool | None = None) -> object:
        self.changes += 1
        one = self.known[username]
        one.password = one.password if password is None else password
        one.is_admin = one.is_admin if is_admin is None else is_admin
        return one


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "reader").write_text("reads-models\n")
    return {
        "MODELYARD_OWN_USERS": json.dumps(["admin", "modelyard-reader"]),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "a-secret",
        "MODELYARD_READER_PASSWORD_FILE": str(tmp_path / "reader"),
    }


AS_THEY_SHOULD_BE = {"admin": OneUser("a-secret", True), "modelyard-reader": OneUser("reads-models", False)}


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({}, id="not there"),
        pytest.param({"admin": OneUser("another", True)}, id="another password"),
        pytest.param({"admin": OneUser("a-secret", False)}, id="no administrator any more"),
        pytest.param({"modelyard-reader": OneUser("another", True)}, id="a reader who may do everything"),
    ],
)
def test_what_others_made_of_them_is_put_right(environment: dict[str, str], found: dict[str, OneUser]) -> None:
    store = Store(**found)
    own_users.mend(store, environment)
    assert store.known == AS_THEY_SHOULD_BE


def test_who_is_as_they_should_be_is_left_alone(environment: dict[str, str]) -> None:
    store = Store()
    own_users.mend(store, environment)
    changes = store.changes
    own_users.mend(store, environment)
    assert store.changes == changes


def test_another_server_may_have_made_them_in_the_meantime() -> None:
    store = Store()
    looked = iter([False])
    has_user = store.has_user
    store.has_user = lambda name: next(looked, None) is None and has_user(name)  # type: ignore[method-assign]
    store.known["admin"] = OneUser("a-secret", True)
    own_users.have(store, "admin", "a-secret", admin=True)
    assert store.known == {"admin": OneUser("a-secret", True)}


def test_a_database_that_is_away_keeps_no_server_from_starting(environment: dict[str, str]) -> None:
    class Away(Store):
        def has_user(self, username: str) -> bool:
            raise ConnectionError("the database is away")

    own_users.mend(Away(), environment)
