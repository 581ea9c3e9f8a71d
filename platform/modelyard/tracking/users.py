"""People and programs who may log in to a tracking server: MLflow's users, and tokens for them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelyard.descriptor import Descriptor
from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard.registry.rest import API, TrackingApi
from modelyard.tracking.environment import TOKENS_PATH
from modelyard.tracking.names import can_be_a_users

READER = "modelyard-reader"
"""The platform's own user, by whom its parts read models."""


@dataclass(frozen=True)
class User:
    """One user of a tracking server."""

    name: str
    admin: bool


class Users:
    """The users of one tracking server.

    Args:
        api: The server's, as an administrator.
        administrator: Who that is.
    """

    def __init__(self, api: TrackingApi, administrator: str) -> None:
        self._api = api
        self._own = (administrator, READER)

    def list(self) -> list[User]:
        """All of them, by name; the platform's own as well."""
        found = self._api.get(f"{API}/users/list")["users"]
        return sorted((User(one["username"], one["is_admin"]) for one in found), key=lambda user: user.name)

    def add(self, name: str, *, admin: bool = False) -> str:
        """Have one more; returns the generated password, which nobody can look up later.

        Raises:
            ModelyardError: nobody can have this name.
            AnswerIsNo: there is one of this name.
        """
        if not can_be_a_users(name):
            raise ModelyardError(
                f"{name!r} can't be a user's name: no login would take it",
                fix="give 1 to 255 letters without spaces, colons and control characters, such as john.doe",
            )
        if any(user.name == name for user in self.list()):
            raise AnswerIsNo(
                f"there is a user {name!r} already", fix=f"a new password: modelyard users password {name}"
            )
        password = _password()
        self._api.send("POST", f"{API}/users/create", {"username": name, "password": password})
        if admin:
            self.make_admin(name, admin=True)
        return password

    def new_password(self, name: str) -> str:
        """Give a user another password; returns it. Tokens stay good."""
        self._theirs(name)
        password = _password()
        self._api.send("PATCH", f"{API}/users/update-password", {"username": name, "password": password})
        return password

    def make_admin(self, name: str, *, admin: bool) -> None:
        """Let a user do everything, or not any more."""
        self._theirs(name)
        self._api.send("PATCH", f"{API}/users/update-admin", {"username": name, "is_admin": admin})

    def remove(self, name: str) -> None:
        """Take a user away; what belongs to it stays, its tokens are worthless."""
        self._theirs(name)
        self._api.send("DELETE", f"{API}/users/delete", {"username": name})

    def token(self, name: str, *, days: int) -> str:
        """A token for a user, as MLflow's clients take it for `MLFLOW_TRACKING_TOKEN`.

        Args:
            days: How long it is good.
        """
        self._theirs(name)
        return str(self._api.send("POST", TOKENS_PATH, {"user": name, "days": days})["token"])

    def _theirs(self, name: str) -> None:
        """A user who is there and isn't the platform's own.

        Raises:
            AnswerIsNo: it is not so.
        """
        if name in self._own:
            raise AnswerIsNo(
                f"{name!r} is the platform's own user, and stays as it is",
                fix="`modelyard users add` makes another one",
            )
        known = [user.name for user in self.list()]
        if name not in known:
            raise AnswerIsNo(f"there is no user {name!r}", fix=f"there are: {', '.join(known)}")


@contextmanager
def of(platform: Descriptor) -> Iterator[Users]:
    """The users of a platform's tracking server.

    Raises:
        ModelyardError: the platform has none, or everybody may do everything there.
    """
    tracking = platform.tracking_server
    if tracking is None:
        raise ModelyardError(f"the platform {platform.stack!r} has no tracking server", fix="`modelyard status`")
    if tracking.username is None or tracking.password_file is None:
        raise ModelyardError(
            f"nobody logs in to the tracking server of {platform.stack!r}",
            fix=f"set `auth: true` for modelyard:tracking_server in Pulumi.{platform.stack}.yaml, then `modelyard up`",
        )
    password = tracking.password_file.read_text().strip()
    api = TrackingApi(tracking.url, username=tracking.username, password=password, timeout=30)
    try:
        yield Users(api, tracking.username)
    finally:
        api.close()


def _password() -> str:
    return secrets.token_urlsafe(24)
