"""Types of settings that several kinds have."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field


def _readable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"it can't be read here: {error.strerror}") from None


ReadableFile = Annotated[str, Field(pattern=r"^/"), AfterValidator(_readable)]
"""An absolute path of a file of this machine, which is there."""

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A name that Kubernetes takes for any kind of object."""

SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""The name of a Secret in the platform's namespace."""

SecretField = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")]
"""The name of one of a Secret's fields (Kubernetes calls it a key)."""


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_network)]
"""Addresses, such as `10.20.0.0/16`."""

Port = Annotated[int, Field(ge=1, le=65535)]

HostName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", max_length=253)
]
"""A host's whole name, in lower case."""
