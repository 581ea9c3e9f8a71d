"""A certificate in files of this machine, as settings."""

from pathlib import Path

from pydantic import ValidationInfo, field_validator

from modelyard.serving.access import check_pair
from modelyard_infra.field_types import ReadableFile
from modelyard_infra.parts import PartSettings


class CertificateFiles(PartSettings):
    """A certificate and its key, which belong together.

    Attributes:
        certificate_file: PEM, with its chain; an absolute path.
        private_key_file: PEM, without a passphrase; an absolute path.
    """

    certificate_file: ReadableFile
    private_key_file: ReadableFile

    @field_validator("private_key_file")
    @classmethod
    def _a_pair(cls, value: str, info: ValidationInfo) -> str:
        if certificate := info.data.get("certificate_file"):
            check_pair(Path(certificate), Path(value))
        return value
