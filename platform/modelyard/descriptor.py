"""The platform descriptor: what is where on one platform, and where its credentials are kept.

It is the last thing the Pulumi program writes and the only thing the `modelyard` command reads, so the
command needs no Pulumi, no state backend and no passphrase. It holds references to secrets, never secrets.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.errors import ModelyardError, Unreachable
from modelyard.home import home, platform_folder

SCHEMA_VERSION = 1
FILE_NAME = "descriptor.json"


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Database(_Document):
    name: str
    user: str
    password_file: Path


class RegistryDatabase(_Document):
    kind: str
    host: str
    port: int
    databases: dict[str, Database]


class ArtifactStore(_Document):
    kind: str
    endpoint_url: str
    region: str
    bucket: str
    access_key_file: Path
    secret_key_file: Path


class TrackingServer(_Document):
    kind: str
    url: str
    username: str | None = None
    password_file: Path | None = None


class ServingCluster(_Document):
    kind: str
    url: str
    admin_url: str
    agent_url: str
    api_key_files: dict[str, Path] = Field(default_factory=dict)


class Monitoring(_Document):
    kind: str
    prometheus_url: str
    alertmanager_url: str
    pushgateway_url: str


class Descriptor(_Document):
    """One platform. A part that the stack does not name is absent."""

    schema_version: Literal[1] = 1
    stack: str
    protect: bool
    folder: Path
    registry_database: RegistryDatabase | None = None
    artifact_store: ArtifactStore | None = None
    tracking_server: TrackingServer | None = None
    serving_cluster: ServingCluster | None = None
    monitoring: Monitoring | None = None


def read(path: Path) -> Descriptor:
    """Read one descriptor.

    Raises:
        ModelyardError: it is damaged, or another version of Modelyard wrote it.
    """
    try:
        return Descriptor.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in problem["loc"]) or "the document"
        raise ModelyardError(
            f"{path} is not a platform descriptor of schema version {SCHEMA_VERSION}: {where}: {problem['msg']}",
            fix=f"`make up STACK={path.parent.name}` writes it anew",
        ) from None


def platforms() -> list[str]:
    """The names of the platforms on this machine that have a descriptor."""
    return sorted(path.parent.name for path in (home() / "platforms").glob(f"*/{FILE_NAME}"))


def find(stack: str | None = None) -> Descriptor:
    """The descriptor of the platform a command is about.

    Args:
        stack: Its stack's name; None means `MODELYARD_STACK`, or the only platform there is.

    Raises:
        Unreachable: there is no such platform.
        ModelyardError: there are several, and none was named.
    """
    known = platforms()
    wanted = stack or os.environ.get("MODELYARD_STACK")
    if wanted is None:
        if len(known) == 1:
            wanted = known[0]
        elif known:
            raise ModelyardError(
                f"there are {len(known)} platforms here and none was named",
                fix=f"pass --stack or set MODELYARD_STACK to one of: {', '.join(known)}",
            )
    if wanted not in known:
        there = f"there are: {', '.join(known)}" if known else "there is none yet"
        name = f"no platform called {wanted!r}" if wanted else "no platform"
        raise Unreachable(f"{name} in {home()}; {there}", fix=f"`make up STACK={wanted or 'local'}` makes it")
    return read(platform_folder(str(wanted)) / FILE_NAME)
