"""Bearer tokens that MLflow's login takes: JSON Web Tokens (RFC 7519) of this server's own, and of issuers it trusts.

The server's own are signed with a key that follows from the session key (HMAC, RFC 2104), so that all replicas take
them and nothing has to be stored. They name the user by number, too: one who was removed and made again is another.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from modelyard.tracking.environment import ISSUER_VARIABLE, SESSION_KEY_VARIABLE
from modelyard.tracking.names import can_be_a_users
from modelyard.tracking.settings import IssuerSettings

ISSUER = "modelyard"
MOST_DAYS = 366
LEEWAY_SECONDS = 30  # clocks differ
_ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Refused(Exception):
    """A token that isn't good."""


@dataclass(frozen=True)
class Bearer:
    """Whom a token speaks for.

    Attributes:
        user_id: MLflow's number of the user; None in tokens of others, who know users by name only.
    """

    name: str
    user_id: int | None


class Tokens:
    """Makes and checks tokens.

    Args:
        session_key: What all replicas share.
        issuer: Whose tokens are taken besides the server's own.
    """

    def __init__(self, session_key: str, issuer: IssuerSettings | None = None) -> None:
        self._key = hmac.digest(session_key.encode(), b"modelyard tokens", "sha256")
        self._issuer = issuer
        self._keys = _Keys(issuer) if issuer else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Tokens":
        """As a server's environment says it."""
        issuer = environment.get(ISSUER_VARIABLE)
        settings = IssuerSettings.model_validate_json(issuer) if issuer else None
        return cls(environment[SESSION_KEY_VARIABLE], settings)

    def make(self, name: str, user_id: int, days: int) -> str:
        """A token for a user.

        Raises:
            ValueError: no token is good for that long.
        """
        if not 1 <= days <= MOST_DAYS:
            raise ValueError(f"days: a token is good for 1 to {MOST_DAYS} days, not {days}")
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": name, "uid": user_id, "iat": now, "exp": now + days * 86400}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def check(self, token: str) -> Bearer:
        """Whom a token speaks for.

        Raises:
            Refused: it isn't good; says why, for logs.
        """
        try:
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
            bearer = self._own(token) if claimed == ISSUER else self._others(token, claimed)
        except jwt.PyJWTError as error:
            raise Refused(str(error)) from None
        if not can_be_a_users(bearer.name):
            raise Refused("it names nobody who could be a user")
        return bearer

    def _own(self, token: str) -> Bearer:
        claims = jwt.decode(
            token,
            self._key,
            algorithms=["HS256"],
            issuer=ISSUER,
            options={"require": ["exp", "iat", "iss", "sub", "uid"]},
        )
        return Bearer(str(claims["sub"]), int(claims["uid"]))

    def _others(self, token: str, claimed: object) -> Bearer:
        if self._issuer is None or self._keys is None or claimed != self._issuer.issuer:
            raise Refused(f"its issuer {claimed!r} isn't trusted here")
        claims = jwt.decode(
            token,
            self._keys.of(token),
            algorithms=_ASYMMETRIC,
            issuer=self._issuer.issuer,
            audience=self._issuer.audiences,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )
        claim = self._issuer.username_claim
        if claim not in claims:
            raise Refused(f"it has no {claim!r}")
        if claim == "email" and claims.get("email_verified", True) is not True:
            raise Refused("its email address isn't verified")
        return Bearer(str(claims[claim]), None)


class _Keys:
    """An issuer's public keys, read again when its file changes."""

    def __init__(self, issuer: IssuerSettings) -> None:
        self._file = issuer.jwks_file
        self._client = jwt.PyJWKClient(issuer.jwks_url, timeout=5) if issuer.jwks_url else None
        self._seen: tuple[bytes, jwt.PyJWKSet] | None = None

    def of(self, token: str) -> jwt.PyJWK:
        """The key that a token says it is signed with.

        Raises:
            Refused: there is no such key.
        """
        if self._client is not None:
            return self._client.get_signing_key_from_jwt(token)
        wanted = jwt.get_unverified_header(token).get("kid")
        keys = self._read().keys
        fitting = [key for key in keys if key.key_id == wanted] if wanted else keys
        if len(fitting) != 1:
            raise Refused(f"the issuer has {len(fitting)} keys for it")
        return fitting[0]

    def _read(self) -> jwt.PyJWKSet:
        assert self._file is not None
        text = Path(self._file).read_bytes()
        digest = hashlib.sha256(text).digest()
        if self._seen is None or self._seen[0] != digest:
            document: dict[str, Any] = json.loads(text)
            self._seen = digest, jwt.PyJWKSet.from_dict(document)
        return self._seen[1]
