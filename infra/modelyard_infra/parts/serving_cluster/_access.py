"""Who may ask the models, as settings."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from modelyard.serving.access import check_pair
from modelyard_infra.parts import PartSettings


def _readable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"it can't be read here: {error.strerror}") from None


ReadableFile = Annotated[str, Field(pattern=r"^/"), AfterValidator(_readable)]
Client = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]


class Tls(PartSettings):
    """The certificate that clients see; renewed files are taken as soon as both are there.

    Attributes:
        certificate_file: PEM, with its chain; an absolute path.
        private_key_file: PEM, without a passphrase; an absolute path.
    """

    certificate_file: ReadableFile
    private_key_file: ReadableFile

    @field_validator("private_key_file")
    @classmethod
    def _a_pair(cls, value: str, info: ValidationInfo) -> str:
        if certificate := info.data.get("certificate_file"):
            check_pair(Path(certificate), Path(value))
        return value


class Jwt(PartSettings):
    """Whose JSON Web Tokens are taken.

    Attributes:
        issuer: What their `iss` has to be.
        audiences: One of these has to be in their `aud`.
        jwks_file: The issuer's public keys, a JSON Web Key Set; read anew when it changes.
    """

    issuer: str
    audiences: Annotated[tuple[str, ...], Field(min_length=1)]
    jwks_file: ReadableFile

    @field_validator("jwks_file")
    @classmethod
    def _a_key_set(cls, value: str) -> str:
        try:
            count = len(json.loads(Path(value).read_text())["keys"])
        except (ValueError, TypeError, KeyError):
            count = 0
        if not count:
            raise ValueError('it holds no JSON Web Key Set: {"keys": [...]} with at least one key')
        return value


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address.

    Raises:
        ValueError: it is none.
    """
    return ipaddress.ip_address(address).is_loopback


def as_host(address: str) -> str:
    """An address as it stands in a URL: one that means every address is this machine's own there."""
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        found = ipaddress.ip_address("127.0.0.1" if found.version == 4 else "::1")
    return str(found) if found.version == 4 else f"[{found}]"
