"""Who asks MLflow: nobody gets past this without a login, whatever MLflow itself holds of a path. `/health` is open.

A login is a user's name and password (HTTP Basic, RFC 7617), a token made by this server, or a token of an issuer that
the server was told to trust (both as bearer tokens, RFC 6750, which MLflow's clients send for `MLFLOW_TRACKING_TOKEN`).
MLflow then sees one kind of login only: the user's name, and a word that nobody but it and this module knows.
"""

import asyncio
import base64
import binascii
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from cachetools import TTLCache
from pydantic import BaseModel

from modelyard.tracking.asgi import Application, Message, Receive, Send, answer, body
from modelyard.tracking.environment import OWN_USERS_VARIABLE, TOKENS_PATH
from modelyard.tracking.passwords import AGAIN_SECONDS, Busy, Passwords
from modelyard.tracking.tokens import Refused, Tokens

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.datastructures import Authorization

OPEN_PATHS = frozenset({"/health"})
METRICS_PATH = "/metrics"
REMEMBERED_SECONDS = 15.0  # how long a password that was changed, or a user who was removed, may still be let in
TOKEN_THREADS = 4  # of their own: tokens don't wait behind passwords
DEFAULT_PASSWORDS = frozenset({"password", "password1234"})  # of MLflow's examples and older versions
_BETWEEN_US = secrets.token_urlsafe(32)
_CREDENTIALS = frozenset({b"authorization", b"x-mlflow-authorization"})
_HOW = (
    "log in with a user's name and password, or with a token: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
    "or MLFLOW_TRACKING_TOKEN\n"
)


class User(Protocol):
    """One of MLflow's users."""

    @property
    def id(self) -> int:
        """Its number, which no other user ever has."""

    @property
    def is_admin(self) -> bool:
        """Whether it may do everything."""


class Users(Protocol):
    """MLflow's users, as `mlflow.server.auth.store` has them."""

    def authenticate_user(self, username: str, password: str) -> bool:
        """Whether the password is that user's."""

    def has_user(self, username: str) -> bool:
        """Whether there is such a user."""

    def get_user(self, username: str) -> User:
        """That user."""

    def create_user(self, username: str, password: str, is_admin: bool = False) -> User:
        """Have one more."""


class _Wanted(BaseModel):
    """A token that somebody asks for."""

    days: int = 90
    user: str | None = None


class Login:
    """An application, closed to whoever doesn't log in.

    Args:
        app: MLflow's.
        users: Its users.
        tokens: Makes and checks tokens.
        own: Names of the platform's own users, who log in by password only; the first is the administrator.
    """

    def __init__(self, app: Application, users: Users, tokens: Tokens, own: Sequence[str]) -> None:
        self._app, self._users, self._tokens, self._own = app, users, tokens, own
        self._known: TTLCache[bytes, str] = TTLCache(maxsize=10_000, ttl=REMEMBERED_SECONDS)
        self._key = secrets.token_bytes(32)
        self._asked: dict[bytes, asyncio.Task[str | None]] = {}  # logins that are being looked up
        self._passwords = Passwords(users)
        self._threads = ThreadPoolExecutor(TOKEN_THREADS, thread_name_prefix="token")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        try:
            user = await self._who(given[0]) if len(given) == 1 else None
        except Busy:
            again = [(b"retry-after", str(AGAIN_SECONDS).encode())]
            await answer(send, 429, "too many passwords wait to be checked; try again in a few seconds\n", again)
            return
        except Exception as error:  # a database that is away answers nobody's question
            await answer(send, 503, f"users can't be looked up: {type(error).__name__}\n")
            return
        if user is None:
            challenge = [(b"www-authenticate", b'Basic realm="mlflow", charset="UTF-8"')]
            await answer(send, 401, _HOW, challenge)
        elif scope["path"] == TOKENS_PATH:
            await self._make_token(scope, receive, send, user, by_password=given[0][:6].lower() == b"basic ")
        else:
            await self._app(
                {**scope, "headers": _as_mlflow_sees(scope["headers"], self._acting(scope, user))}, receive, send
            )

    def _acting(self, scope: Message, user: str) -> str:
        """Metrics are the administrator's alone for MLflow, and the platform's own users read them."""
        return self._own[0] if scope["path"] == METRICS_PATH and user in self._own else user

    async def _who(self, given: bytes) -> str | None:
        """The user whose login this is; who asks several times at once is looked up once."""
        digest = hmac.digest(self._key, given, "sha256")
        if (known := self._known.get(digest)) is not None:
            return known
        if (asked := self._asked.get(digest)) is None:
            asked = self._asked[digest] = asyncio.create_task(self._look_up(given))
            asked.add_done_callback(lambda _: self._asked.pop(digest))
        found = await asyncio.shield(asked)  # a client that goes away must not take the answer from the others
        if found is not None:
            self._known[digest] = found
        return found

    async def _look_up(self, given: bytes) -> str | None:
        scheme, _, value = given.partition(b" ")
        if scheme.lower() == b"basic":
            return await self._by_password(value.strip())
        if scheme.lower() == b"bearer":
            token = value.strip().decode("latin-1")
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._by_token, token)
        return None

    async def _by_password(self, value: bytes) -> str | None:
        try:
            name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not colon or password in DEFAULT_PASSWORDS:
            return None
        return name if await self._passwords.are_right(name, password) else None

    def _by_token(self, token: str) -> str | None:
        try:
            bearer = self._tokens.check(token)
        except Refused:
            return None
        if bearer.name in self._own:
            return None
        if bearer.user_id is not None:
            there = self._users.has_user(bearer.name) and self._users.get_user(bearer.name).id == bearer.user_id
            return bearer.name if there else None
        if not self._users.has_user(bearer.name):
            self._welcome(bearer.name)
        return bearer.name

    def _welcome(self, name: str) -> None:
        """Somebody's first visit, which may be several requests at once."""
        try:
            self._users.create_user(name, secrets.token_urlsafe(32))
        except Exception:
            if not self._users.has_user(name):
                raise

    async def _make_token(self, scope: Message, receive: Receive, send: Send, user: str, *, by_password: bool) -> None:
        """Answer `{"days": 90}` with a token; an administrator may name another `user`."""
        if scope["method"] != "POST":
            await answer(send, 405, "POST makes a token\n")
            return
        if not by_password:
            await answer(send, 403, "a token makes no further tokens: log in with a password\n")
            return
        try:
            wanted = _Wanted.model_validate_json(await body(receive, most=4096) or b"{}")
        except ValueError:
            await answer(send, 400, 'send a JSON object: {"days": 90}, and for administrators "user"\n')
            return
        status, said = await asyncio.to_thread(self._token_for, wanted.user or user, wanted.days, user)
        await answer(send, status, said)

    def _token_for(self, name: str, days: int, asked_by: str) -> tuple[int, str]:
        if name != asked_by and not self._users.get_user(asked_by).is_admin:
            return 403, f"{asked_by} may make tokens for {asked_by} only\n"
        if name in self._own:
            return 403, f"{name} is the platform's own user and has no tokens; make a user for people and programs\n"
        if not self._users.has_user(name):
            return 404, f"there is no user {name}\n"
        try:
            made = self._tokens.make(name, self._users.get_user(name).id, days)
        except ValueError as error:
            return 400, f"{error}\n"
        return 200, json.dumps({"token": made, "user": name, "days": days}) + "\n"


def authenticate() -> "Authorization | Response":
    """MLflow's `authorization_function`: takes what `Login` let through, and nothing else."""
    from flask import make_response, request

    given = request.authorization
    if given is not None and given.type == "basic" and hmac.compare_digest(given.password or "", _BETWEEN_US):
        return given
    return make_response(_HOW, 401)


def guarded(app: Application, environment: Mapping[str, str] = os.environ) -> Application:
    """MLflow's application with its users' store, closed.

    Args:
        environment: Has the key that tokens are signed with, and whose tokens else are taken.
    """
    from mlflow.server.auth import store

    own = json.loads(environment[OWN_USERS_VARIABLE])
    return Login(app, store, Tokens.from_environment(environment), own)


def _as_mlflow_sees(headers: list[tuple[bytes, bytes]], user: str) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in _CREDENTIALS]
    login = base64.b64encode(f"{user}:{_BETWEEN_US}".encode())
    return [*kept, (b"authorization", b"Basic " + login)]
