"""What a cluster's platform uses and doesn't run, as settings: where it is, and whose certificate it has."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography import x509
from pulumi import Output
from pydantic import AfterValidator, Field

from modelyard_infra.contracts import SecretReference
from modelyard_infra.field_types import Network, ObjectName, Port, ReadableFile, SecretField, SecretName
from modelyard_infra.parts import PartSettings
from modelyard_infra.workloads.objects import Objects
from modelyard_infra.workloads.ways import ANYWHERE, pods_of


def _with_certificates(path: str) -> str:
    try:
        x509.load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError:
        raise ValueError("it holds no certificate (PEM)") from None
    return path


class AuthorityFile(PartSettings):
    """Certificates in a file of this machine.

    Attributes:
        path: Absolute; PEM.
    """

    kind: Literal["file"]
    path: Annotated[ReadableFile, AfterValidator(_with_certificates)]


class AuthoritySecret(PartSettings):
    """Certificates that somebody else keeps in a Secret of the platform's namespace.

    Attributes:
        name: Of the Secret.
        field: Which of its fields.
    """

    kind: Literal["secret"]
    name: SecretName
    field: SecretField = "ca.crt"


Authority = Annotated[AuthorityFile | AuthoritySecret, Field(discriminator="kind")]


class Anywhere(PartSettings):
    """At any address, inside of the cluster or outside."""

    kind: Literal["anywhere"]


class Networks(PartSettings):
    """Outside of the cluster, at some addresses.

    Attributes:
        cidrs: Such as `10.20.0.0/16`.
    """

    kind: Literal["networks"]
    cidrs: Annotated[tuple[Network, ...], Field(min_length=1)]


class OtherNamespace(PartSettings):
    """In another namespace of the same cluster.

    Attributes:
        namespace: Which.
        pod_port: Where its pods listen; left out, at the same port as their Service.
    """

    kind: Literal["namespace"]
    namespace: ObjectName
    pod_port: Port | None = None


Place = Annotated[Anywhere | Networks | OtherNamespace, Field(discriminator="kind")]


def authority(objects: Objects, name: str, wanted: AuthorityFile | AuthoritySecret | None) -> SecretReference | None:
    """Where pods have the certificates from.

    Args:
        name: Of the Secret that is made of a file.
    """
    if isinstance(wanted, AuthorityFile):
        return objects.secret(name, {"ca.crt": Path(wanted.path).read_text()})["ca.crt"]
    return secret(wanted.name, wanted.field) if wanted else None


def secret(name: str, field: str) -> SecretReference:
    """A field of a Secret that somebody else keeps in the platform's namespace."""
    return SecretReference(Output.from_input(name), key=field)


def open_way(objects: Objects, place: Anywhere | Networks | OtherNamespace | None, host: str, port: int) -> None:
    """Let the pods that use a part out to it.

    Args:
        place: Where it is; None: at the address that the host is, or anywhere if that is a name.
    """
    if isinstance(place, OtherNamespace):
        objects.users_reach([pods_of(place.namespace)], place.pod_port or port)
    elif isinstance(place, Networks):
        objects.users_reach([_block(cidr) for cidr in place.cidrs], port)
    elif place is None and (address := _address(host)):
        objects.users_reach([_block(str(ipaddress.ip_network(address)))], port)
    else:
        objects.users_reach(ANYWHERE, port)


def _address(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _block(cidr: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr}}
