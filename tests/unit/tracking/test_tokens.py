import base64
import hmac
import time
from pathlib import Path

import jwt
import pytest

from modelyard.tracking.settings import IssuerSettings
from modelyard.tracking.tokens import Bearer, Refused, Tokens
from tests.support.credentials import Issuer

LOGIN = Issuer("https://login.test")
STRANGER = Issuer("https://login.test")


def signed(by: Issuer = LOGIN, **claims: object) -> str:
    return by.token(**({"aud": "mlflow", "email": "ada@example.com"} | claims))


@pytest.fixture
def issuer(tmp_path: Path) -> IssuerSettings:
    (tmp_path / "jwks.json").write_text(LOGIN.jwks())
    return IssuerSettings(
        issuer=LOGIN.name, audiences=("mlflow",), username_claim="email", jwks_file=tmp_path / "jwks.json"
    )


@pytest.fixture
def tokens(issuer: IssuerSettings) -> Tokens:
    return Tokens("the session key", issuer)


def test_a_token_speaks_for_the_user_it_was_made_for(tokens: Tokens) -> None:
    assert tokens.check(tokens.make("ada", 7, days=1)) == Bearer("ada", 7)


def test_every_replica_takes_it(tokens: Tokens) -> None:
    assert Tokens("the session key").check(tokens.make("ada", 7, days=1)).name == "ada"


def test_another_platform_doesnt(tokens: Tokens) -> None:
    with pytest.raises(Refused):
        Tokens("another session key").check(tokens.make("ada", 7, days=1))


def test_it_ends(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3 * 86400)
    old = tokens.make("ada", 7, days=2)
    monkeypatch.undo()
    with pytest.raises(Refused, match="expired"):
        tokens.check(old)


@pytest.mark.parametrize("days", [0, -1, 367])
def test_nothing_is_good_for_ever(tokens: Tokens, days: int) -> None:
    with pytest.raises(ValueError, match="1 to 366 days"):
        tokens.make("ada", 7, days=days)


def test_a_trusted_issuers_token_names_its_user(tokens: Tokens) -> None:
    assert tokens.check(signed()) == Bearer("ada@example.com", None)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(aud="another"), id="for another audience"),
        pytest.param(signed(iss="https://elsewhere.test"), id="of another issuer"),
        pytest.param(signed(exp=time.time() - 60), id="ended"),
        pytest.param(signed(exp=None), id="without an end"),
        pytest.param(signed(email=None), id="without a name"),
        pytest.param(signed(email_verified=False), id="address not verified"),
        pytest.param(signed(email_verified="false"), id="address not verified, in words"),
        pytest.param(signed(email_verified="true"), id="address verified in words, which some let people choose"),
        pytest.param(signed(email="ada:admin"), id="a name that HTTP Basic would cut"),
        pytest.param(signed(email="a\nb"), id="a name with a line break"),
        pytest.param(signed(STRANGER), id="signed by somebody else"),
        pytest.param(jwt.encode({"iss": LOGIN.name, "aud": "mlflow"}, None, algorithm="none"), id="not signed"),
        pytest.param("no.token.atall", id="no token"),
        pytest.param("", id="nothing"),
    ],
)
def test_others_are_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Refused):
        tokens.check(token)


def test_the_public_key_is_no_secret_to_sign_with(tokens: Tokens, issuer: IssuerSettings) -> None:
    assert issuer.jwks_file
    header, claims, _ = signed().split(".")
    header = base64.urlsafe_b64encode(b'{"alg": "HS256", "kid": "one"}').decode().rstrip("=")
    signature = hmac.digest(issuer.jwks_file.read_bytes(), f"{header}.{claims}".encode(), "sha256")
    forged = f"{header}.{claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(Refused, match="alg"):
        tokens.check(forged)


def test_without_a_trusted_issuer_only_own_tokens_are_taken() -> None:
    with pytest.raises(Refused, match="isn't trusted"):
        Tokens("the session key").check(signed())


def test_new_keys_of_an_issuer_are_taken(tokens: Tokens, issuer: IssuerSettings) -> None:
    assert issuer.jwks_file
    tokens.check(signed())
    issuer.jwks_file.write_text(STRANGER.jwks())
    assert tokens.check(signed(STRANGER)).name == "ada@example.com"
    with pytest.raises(Refused):
        tokens.check(signed())
