import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelyard.tracking import passwords
from modelyard.tracking.asgi import Message, Receive, Send
from modelyard.tracking.login import Login
from modelyard.tracking.tokens import Bearer, Tokens

TOKENS = Tokens("the session key")


@dataclass
class OneUser:
    id: int
    password: str
    is_admin: bool = False


@dataclass
class Users:
    """MLflow's users, in memory, that count how often a password was looked at."""

    known: dict[str, OneUser] = field(
        default_factory=lambda: {"admin": OneUser(1, "a-secret", is_admin=True), "ada": OneUser(2, "lovelace-1815")}
    )
    looked_up: int = 0
    away: bool = False

    def authenticate_user(self, username: str, password: str) -> bool:
        if self.away:
            raise ConnectionError("the database is away")
        self.looked_up += 1
        return username in self.known and self.known[username].password == password

    def has_user(self, username: str) -> bool:
        return username in self.known

    def get_user(self, username: str) -> OneUser:
        return self.known[username]

    def create_user(self, username: str, password: str, is_admin: bool = False) -> OneUser:
        self.known[username] = OneUser(max(one.id for one in self.known.values()) + 1, password, is_admin)
        return self.known[username]


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Behind:
    """What is behind the login; remembers the logins that it saw."""

    def __init__(self) -> None:
        self.users: list[str] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        for value in given:
            self.users.append(base64.b64decode(value.removeprefix(b"Basic ")).decode().partition(":")[0])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


class Site:
    def __init__(self, tokens: Any = TOKENS) -> None:
        self.users, self.behind = Users(), Behind()
        self.login = Login(self.behind, self.users, tokens, ["admin", "modelyard-reader"])

    def ask(
        self, *logins: str, path: str = "/api/2.0/x", method: str = "GET", body: bytes = b"", **more: str
    ) -> Answer:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        headers = [(b"authorization", login.encode()) for login in logins]
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        scope = {"type": "http", "path": path, "method": method, "headers": headers}
        asyncio.run(self.login(scope, receive, send))
        return Answer(sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:]))

    def token(self, login: str, **wanted: object) -> Answer:
        return self.ask(login, path="/modelyard/tokens", method="POST", body=json.dumps(wanted).encode())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


ADA = basic("ada", "lovelace-1815")


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/2.0/mlflow/runs/get",
        "/static-files/x.js",
        "/api/3.0/mlflow/server-info",
        "/health/../api",
        "/healthy",
    ],
)
def test_without_a_login_nothing_is_to_be_had(site: Site, path: str) -> None:
    answer = site.ask(path=path)
    assert answer.status == 401
    assert answer.headers[b"www-authenticate"].startswith(b"Basic ")
    assert site.behind.users == []


def test_but_health(site: Site) -> None:
    assert site.ask(path="/health").status == 200


def test_a_password_lets_its_user_in(site: Site) -> None:
    assert site.ask(ADA).status == 200
    assert site.behind.users == ["ada"]


@pytest.mark.parametrize(
    "login",
    [
        basic("ada", "wrong"),
        basic("nobody", "lovelace-1815"),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Digest ada",
        "Bearer nonsense",
    ],
)
def test_another_login_doesnt(site: Site, login: str) -> None:
    assert site.ask(login).status == 401


def test_two_logins_are_none(site: Site) -> None:
    assert site.ask(ADA, basic("admin", "a-secret")).status == 401


def test_mlflows_default_password_is_none(site: Site) -> None:
    site.users.known["admin"].password = "password1234"
    assert site.ask(basic("admin", "password1234")).status == 401


def test_the_other_header_that_mlflow_reads_doesnt_get_through(site: Site) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Message, _receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    site.login = Login(app, site.users, TOKENS, ["admin"])
    site.ask(ADA, x_mlflow_authorization=basic("admin", "x"))
    assert [name for name, _ in seen] == [b"authorization"]
    assert b"lovelace" not in base64.b64decode(seen[0][1].split()[1])


def test_a_password_is_looked_at_once_in_a_while(site: Site) -> None:
    for _ in range(5):
        site.ask(ADA)
    assert site.users.looked_up == 1


def test_guesses_are_not_remembered(site: Site) -> None:
    site.ask(basic("ada", "wrong"))
    site.users.known["ada"].password = "wrong"
    assert site.ask(basic("ada", "wrong")).status == 200


def test_a_database_that_is_away_is_no_wrong_password(site: Site) -> None:
    site.users.away = True
    answer = site.ask(ADA)
    assert answer.status == 503
    assert b"users can't be looked up" in answer.body


def test_the_platforms_own_reader_sees_metrics_and_nobody_else_does_as_the_administrator(site: Site) -> None:
    site.users.known["modelyard-reader"] = OneUser(3, "reads-models")
    reader = basic("modelyard-reader", "reads-models")
    for login, path in ((reader, "/metrics"), (reader, "/api/2.0/x"), (ADA, "/metrics")):
        site.ask(login, path=path)
    assert site.behind.users == ["admin", "modelyard-reader", "ada"]


def test_a_token_lets_its_user_in(site: Site) -> None:
    made = json.loads(site.token(ADA, days=1).body)
    assert made["user"] == "ada"
    assert site.ask(f"Bearer {made['token']}").status == 200
    assert site.behind.users == ["ada"]


def test_a_removed_users_token_is_worthless_even_to_another_of_the_same_name(site: Site) -> None:
    token = json.loads(site.token(ADA, days=1).body)["token"]
    del site.users.known["ada"]
    assert site.ask(f"Bearer {token}").status == 401
    site.users.known["ada"] = OneUser(3, "somebody-else")
    assert site.ask(f"Bearer {token}").status == 401


@pytest.mark.parametrize(
    ("login", "wanted", "status", "words"),
    [
        (ADA, {"user": "admin"}, 403, "for ada only"),
        (basic("admin", "a-secret"), {"user": "nobody"}, 404, "no user nobody"),
        (basic("admin", "a-secret"), {}, 403, "platform's own"),
        (ADA, {"days": 1000}, 400, "1 to 366 days"),
        (ADA, {"days": "many"}, 400, "JSON object"),
        (ADA, {"days": None}, 400, "JSON object"),
        (ADA, {"days": float("inf")}, 400, "JSON object"),
        (ADA, {"user": 7}, 400, "JSON object"),
        (basic("ada", "wrong"), {}, 401, "log in"),
    ],
)
def test_who_gets_no_token_is_told_why(
    site: Site, login: str, wanted: dict[str, object], status: int, words: str
) -> None:
    answer = site.token(login, **wanted)
    assert answer.status == status
    assert words in answer.body.decode()


def test_an_administrator_makes_tokens_for_others(site: Site) -> None:
    token = json.loads(site.token(basic("admin", "a-secret"), user="ada").body)["token"]
    assert TOKENS.check(token) == Bearer("ada", 2)


def test_a_token_makes_no_tokens(site: Site) -> None:
    token = json.loads(site.token(ADA).body)["token"]
    assert site.token(f"Bearer {token}").status == 403


def test_tokens_are_only_made_by_post(site: Site) -> None:
    assert site.ask(ADA, path="/modelyard/tokens").status == 405


class Issuer:
    """Whoever it names is trusted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, token: str) -> Bearer:
        return Bearer(self.name, None)


def test_somebody_known_to_a_trusted_issuer_is_a_user_from_the_first_visit_on() -> None:
    site = Site(Issuer("grace@example.com"))
    assert site.ask("Bearer x").status == 200
    assert site.behind.users == ["grace@example.com"]
    assert not site.users.known["grace@example.com"].is_admin


def test_a_first_visit_may_be_several_requests_at_once() -> None:
    site = Site(Issuer("grace"))
    create = site.users.create_user

    def create_after_another(username: str, password: str, is_admin: bool = False) -> OneUser:
        create(username, password, is_admin)
        raise ValueError("User (username=grace) already exists")

    site.users.create_user = create_after_another  # type: ignore[method-assign]
    assert site.ask("Bearer x").status == 200


def test_somebody_who_cannot_be_made_a_user_is_not_let_in() -> None:
    site = Site(Issuer("grace"))

    def fail(*_: object) -> OneUser:
        raise ConnectionError("the database is read-only")

    site.users.create_user = fail  # type: ignore[method-assign]
    assert site.ask("Bearer x").status == 503


def test_many_requests_with_one_login_look_at_the_password_once(site: Site) -> None:
    async def scenario() -> list[str | None]:
        return await asyncio.gather(*[site.login._who(ADA.encode()) for _ in range(50)])

    assert asyncio.run(scenario()) == ["ada"] * 50
    assert site.users.looked_up == 1


def test_a_client_that_goes_away_takes_the_answer_from_nobody(site: Site) -> None:
    async def scenario() -> str | None:
        first, second = [asyncio.create_task(site.login._who(ADA.encode())) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(scenario()) == "ada"


def test_when_too_many_passwords_wait_tokens_still_let_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = json.loads(site.token(ADA, days=1).body)["token"]
    monkeypatch.setattr(passwords, "MOST_WAITING", 0)
    refused = site.ask(basic("admin", "a-secret"))
    assert (refused.status, refused.headers[b"retry-after"]) == (429, b"2")
    assert site.ask(f"Bearer {token}").status == 200
    assert site.ask(ADA).status == 200  # remembered


def test_no_issuer_speaks_for_the_platforms_own_users() -> None:
    assert Site(Issuer("admin")).ask("Bearer x").status == 401


def test_a_websocket_is_refused(site: Site) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(site.login({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
