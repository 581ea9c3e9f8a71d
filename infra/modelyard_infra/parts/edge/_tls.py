"""Where the certificate of a Gateway comes from, as settings."""

from typing import Annotated, Literal

from pydantic import Field

from modelyard_infra.field_types import ObjectName
from modelyard_infra.parts import PartSettings
from modelyard_infra.parts._certificate import CertificateFiles


class TlsFiles(CertificateFiles):
    """A certificate in files of this machine; new ones are taken by the next `modelyard up`."""

    kind: Literal["files"]


class TlsSecret(PartSettings):
    """A certificate that somebody else keeps in the platform's namespace.

    Attributes:
        name: Of the Secret, of type kubernetes.io/tls.
    """

    kind: Literal["secret"]
    name: ObjectName


class TlsIssuer(PartSettings):
    """A certificate that cert-manager gets and renews.

    Attributes:
        name: Of the issuer.
        cluster_wide: Whether it is a ClusterIssuer.
    """

    kind: Literal["issuer"]
    name: ObjectName
    cluster_wide: bool = True


Tls = Annotated[TlsFiles | TlsSecret | TlsIssuer, Field(discriminator="kind")]
