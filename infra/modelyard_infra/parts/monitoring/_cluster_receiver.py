"""Who gets alerts of a platform in a cluster: as locally, but what is secret is in a Secret."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from modelyard_infra.field_types import ObjectName, ReadableFile
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts.monitoring import _config
from modelyard_infra.workloads.pods import SECRETS

FILE = "receiver"
MOUNTED = f"{SECRETS}/{FILE}"
PORTS = {"http": 80, "https": 443}


class SecretKey(PartSettings):
    """A value of a Secret that somebody keeps in the platform's namespace.

    Attributes:
        name: The Secret's.
        key: Which of its values.
    """

    name: ObjectName
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class SlackInCluster(PartSettings):
    """Alerts go to a Slack channel.

    Attributes:
        channel: With its `#`.
        api_url_file: A file of this machine with the incoming webhook's address; becomes a Secret.
        api_url_secret: Or the Secret that has it already.
    """

    kind: Literal["slack"]
    channel: str
    api_url_file: ReadableFile | None = None
    api_url_secret: SecretKey | None = None

    @field_validator("api_url_secret")
    @classmethod
    def _one(cls, value: SecretKey | None, info: ValidationInfo) -> SecretKey | None:
        if (value is None) == (info.data.get("api_url_file") is None):
            raise ValueError("give one of `api_url_file` and `api_url_secret`")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


class EmailInCluster(PartSettings):
    """Alerts are mailed.

    Attributes:
        to: Address of who gets them.
        sender: Address they come from.
        smarthost: `host:port` of the mail server; TLS is required.
        username: For it, if it asks.
        password_file: A file of this machine with the password; becomes a Secret.
        password_secret: Or the Secret that has it already.
    """

    kind: Literal["email"]
    to: str
    sender: str
    smarthost: Annotated[str, Field(pattern=r"^[^:]+:\d+$")]
    username: str | None = None
    password_file: ReadableFile | None = None
    password_secret: SecretKey | None = None

    @field_validator("password_secret")
    @classmethod
    def _with_a_user(cls, value: SecretKey | None, info: ValidationInfo) -> SecretKey | None:
        given = (value is not None) + (info.data.get("password_file") is not None)
        if given != (1 if info.data.get("username") else 0):
            raise ValueError("give one of `password_file` and `password_secret` where there is a `username`, else none")
        return value

    model_config = PartSettings.model_config | {"validate_default": True}


Receiver = Annotated[
    _config.NoReceiver | _config.WebhookReceiver | SlackInCluster | EmailInCluster, Field(discriminator="kind")
]


def as_mounted(receiver: Receiver) -> _config.AnyReceiver:
    """The receiver as Alertmanager's pod sees it: its secret is a file there."""
    match receiver:
        case SlackInCluster():
            return _config.SlackReceiver(kind="slack", channel=receiver.channel, api_url_file=MOUNTED)
        case EmailInCluster():
            return _config.EmailReceiver(
                kind="email",
                to=receiver.to,
                sender=receiver.sender,
                smarthost=receiver.smarthost,
                username=receiver.username,
                password_file=MOUNTED if receiver.username else None,
            )
    return receiver


def secret_file(receiver: Receiver) -> str | None:
    """The file of this machine that has its secret, if one has."""
    match receiver:
        case SlackInCluster():
            return receiver.api_url_file
        case EmailInCluster():
            return receiver.password_file
    return None


def secret_key(receiver: Receiver) -> SecretKey | None:
    """The Secret that has it, if one has."""
    match receiver:
        case SlackInCluster():
            return receiver.api_url_secret
        case EmailInCluster():
            return receiver.password_secret
    return None


def port(receiver: Receiver) -> int | None:
    """Where Alertmanager connects to; None: nowhere."""
    match receiver:
        case _config.WebhookReceiver():
            address = urlsplit(receiver.url)
            return address.port or PORTS[address.scheme]
        case SlackInCluster():
            return PORTS["https"]
        case EmailInCluster():
            return int(receiver.smarthost.rpartition(":")[2])
    return None
