"""Container images that are in a registry already, each by digest.

Creates: nothing.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from modelyard_infra.contracts import Images
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts import PartSettings

NEEDS: tuple[str, ...] = ()
Name = Literal["tracking-server", "model-server", "agent", "postgresql", "versitygw", "prometheus"]
Secret = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
DIGEST = 71  # sha256: and 64 hexadecimal digits


class Settings(PartSettings):
    """Settings of images that were pushed before, as by `make images PUSH=...`, which prints these lines.

    Attributes:
        references: What each is for → `registry/name@sha256:…`; a tag would name another image tomorrow.
        pull_secrets: Names of Secrets in the platform's namespace with logins of the registry.
    """

    references: dict[Name, str]
    pull_secrets: tuple[Secret, ...] = ()

    @field_validator("references")
    @classmethod
    def _by_digest(cls, value: dict[Name, str]) -> dict[Name, str]:
        for name, reference in value.items():
            place, _, digest = reference.rpartition("@")
            if not place or not digest.startswith("sha256:") or len(digest) != DIGEST:
                raise ValueError(f"{name}'s is {reference!r}, not <registry>/<name>@sha256:<64 hexadecimal digits>")
        return value


def build(settings: Settings, inputs: PartInputs) -> Images:
    """Build the part."""
    return Images({str(name): reference for name, reference in settings.references.items()}, settings.pull_secrets)
