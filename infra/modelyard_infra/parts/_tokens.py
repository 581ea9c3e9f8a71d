"""Whose JSON Web Tokens are taken, as settings."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from modelyard.serving.access import key_set
from modelyard_infra.field_types import ReadableFile
from modelyard_infra.parts import PartSettings


def _a_key_set(path: str) -> str:
    key_set(Path(path))
    return path


KeySetFile = Annotated[ReadableFile, AfterValidator(_a_key_set)]
"""A file of this machine with a JSON Web Key Set (RFC 7517)."""


class IssuerWithFile(PartSettings):
    """Whose JSON Web Tokens are taken.

    Attributes:
        issuer: What their `iss` has to be.
        audiences: One of these has to be in their `aud`.
        jwks_file: The issuer's public keys, a JSON Web Key Set; read anew when it changes.
    """

    issuer: str
    audiences: Annotated[tuple[str, ...], Field(min_length=1)]
    jwks_file: KeySetFile


class Issuer(PartSettings):
    """Whose JSON Web Tokens are taken; their keys come from one of a URL and a file.

    Attributes:
        issuer: What their `iss` has to be.
        audiences: One of these has to be in their `aud`.
        jwks_file: The issuer's public keys, a JSON Web Key Set; the next `modelyard up` takes new ones.
        jwks_url: Where the issuer has them; new ones are taken within minutes.
    """

    issuer: str
    audiences: Annotated[tuple[str, ...], Field(min_length=1)]
    jwks_file: KeySetFile | None = None
    jwks_url: Annotated[str, Field(pattern=r"^https://[^/\s]+/\S*$")] | None = None

    @field_validator("jwks_url")
    @classmethod
    def _one_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "jwks_file" in info.data and (value is None) == (info.data["jwks_file"] is None):
            raise ValueError("the issuer's keys come from one of jwks_file and jwks_url")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


class UsersOf(Issuer):
    """Whose JSON Web Tokens people and programs log in with.

    Attributes:
        username_claim: Which of a token's claims is the user's name: one that people can't choose themselves.
    """

    username_claim: Annotated[str, Field(min_length=1)] = "sub"
