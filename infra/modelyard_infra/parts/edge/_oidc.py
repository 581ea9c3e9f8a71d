"""Where people sign in, as settings, and as Envoy Gateway is told."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.field_types import ObjectName
from modelyard_infra.parts import PartSettings

Url = Annotated[str, Field(pattern=r"^https://[^/\s]+(/\S*)?$")]


class Oidc(PartSettings):
    """An OpenID Connect provider (https://openid.net/specs/openid-connect-core-1_0.html) at which people sign in.

    Attributes:
        issuer: Its URL, as its tokens have it.
        client_id: What it knows the Gateway as; register `https://mlflow.<domain>/oauth2/callback` there.
        client_secret: Name of a Secret in the platform's namespace that has it under the key `client-secret`.
        scopes: What is asked for besides `openid`: `email` where the user's name is an address.
        authorization_endpoint: Where browsers are sent, if the provider doesn't publish that.
        token_endpoint: Where the Gateway gets tokens, if the provider doesn't publish that.
    """

    issuer: Url
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: ObjectName
    scopes: tuple[Annotated[str, Field(min_length=1)], ...] = ("email",)
    authorization_endpoint: Url | None = None
    token_endpoint: Url | None = None

    @field_validator("token_endpoint")
    @classmethod
    def _both(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "authorization_endpoint" in info.data and (value is None) != (info.data["authorization_endpoint"] is None):
            raise ValueError("authorization_endpoint and token_endpoint are set together, or neither")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


def envoy_gateway(oidc: Oidc) -> dict[str, Any]:
    """The `oidc` of a SecurityPolicy: who has no session is sent to the provider; the part behind gets the token."""
    provider = {"issuer": oidc.issuer}
    if oidc.authorization_endpoint and oidc.token_endpoint:
        provider |= {"authorizationEndpoint": oidc.authorization_endpoint, "tokenEndpoint": oidc.token_endpoint}
    return {
        "provider": provider,
        "clientID": oidc.client_id,
        "clientSecret": {"group": "", "kind": "Secret", "name": oidc.client_secret},
        "scopes": list(oidc.scopes),
        "forwardAccessToken": True,
        "refreshToken": True,
    }
