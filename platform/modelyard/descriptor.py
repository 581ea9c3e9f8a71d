"""The platform descriptor: what is where on one platform, and where its credentials are kept.

It is the last thing the Pulumi program writes and the only thing the `modelyard` command reads, so the
command needs no Pulumi, no state backend and no passphrase. It holds references to secrets, never secrets.
"""

import json
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
    sslmode: str = "prefer"
    sslrootcert: Path | None = None


class ArtifactStore(_Document):
    kind: str
    endpoint_url: str
    region: str
    bucket: str
    access_key_file: Path
    secret_key_file: Path


class InCluster(Exception):
    """A command on a platform in a cluster has to run there, where its database is reached.

    Attributes:
        platform: Which.
        pods: The name of those where it has to: in one of them.
    """

    def __init__(self, platform: "Descriptor", pods: str) -> None:
        super().__init__(platform.stack)
        self.platform, self.pods = platform, pods


class SecretKey(_Document):
    """One value of a Secret in the platform's namespace of a cluster."""

    name: str
    key: str


class TrackingServer(_Document):
    """MLflow, and its administrator's login: a file's on one machine, a Secret's in a cluster."""

    kind: str
    url: str
    username: str | None = None
    password_file: Path | None = None
    password_secret: SecretKey | None = None


class ServingCluster(_Document):
    """Where models are asked, and by client the keys to it: files on one machine, values of Secrets in a cluster."""

    kind: str
    url: str
    admin_url: str
    agent_url: str
    api_key_files: dict[str, Path] = Field(default_factory=dict)
    api_key_secrets: dict[str, SecretKey] = Field(default_factory=dict)


class Monitoring(_Document):
    kind: str
    prometheus_url: str
    alertmanager_url: str
    pushgateway_url: str


class Cluster(_Document):
    """The Kubernetes cluster that a platform is in, as this machine reaches it.

    Attributes:
        kubeconfig: None: the account of the pod that this runs in.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str


class Descriptor(_Document):
    """One platform. A part that the stack does not name is absent.

    Attributes:
        cluster: Where its parts run if not on this machine; the others' addresses are those for its clients then.
    """

    schema_version: Literal[1] = 1
    stack: str
    protect: bool
    folder: Path
    cluster: Cluster | None = None
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
    return parse(path.read_bytes(), str(path), fix=f"`make up STACK={path.parent.name}` writes it anew")


def parse(text: str | bytes, where: str, *, fix: str) -> Descriptor:
    """A descriptor as text.

    Args:
        where: It was found.
        fix: What to do where it isn't one.

    Raises:
        ModelyardError: it is damaged, or another version of Modelyard wrote it.
    """
    try:
        return Descriptor.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in problem["loc"]) or "the document"
        raise ModelyardError(
            f"{where} is not a platform descriptor of schema version {SCHEMA_VERSION}: {key}: {problem['msg']}", fix=fix
        ) from None


def as_text(descriptor: Descriptor) -> str:
    """The descriptor, the same one always the same."""
    return json.dumps(descriptor.model_dump(mode="json", exclude_none=True), indent=1, sort_keys=True) + "\n"


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
    if file := os.environ.get("MODELYARD_DESCRIPTOR"):  # in a pod of the platform, which knows no other
        return read(Path(file))
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


def here(stack: str | None = None, *, pods: str = "serving-agent") -> Descriptor:
    """The same for a command that talks to the parts themselves.

    Args:
        stack: As for `find`.
        pods: In a cluster, the name of those that reach what the command talks to.

    Raises:
        InCluster: they are in a cluster, so it has to run there.
    """
    platform = find(stack)
    if platform.cluster is not None:
        raise InCluster(platform, pods)
    return platform
