"""Who may ask the models, as settings."""

import ipaddress
from typing import Annotated

from pydantic import Field

Client = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
"""A name for whoever has a key."""


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
