"""Which images there are, and what goes into each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "images"
LOCK = ROOT / "requirements.lock"
PYTHON = "3.11"  # what images/*/requirements.lock are resolved for
PUBLIC_BASE = "docker.io/library/python:3.11-slim-bookworm"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image: what tools/images.py puts beside the Containerfile of ``folder`` for its build.

    ``programs`` names tools of tools.toml, ``project`` asks for Modelyard's own wheel, ``files`` are of ``folder``.
    One that has a requirements.lock gets the packages it names, and stands on the whole base image.
    """

    name: str
    programs: tuple[str, ...] = ()
    project: bool = False
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its Containerfile is."""
        return FOLDER / self.name

    @property
    def lock(self) -> Path | None:
        """Its Python packages; None for an image without Python."""
        return None if self.programs else self.folder / "requirements.lock"


IMAGES = {
    image.name: image
    for image in (
        Image(name="tracking-server", project=True),
        Image(name="model-server", project=True),
        Image(name="agent", project=True),
        Image(name="postgresql", files=("entrypoint.py",)),
        Image(name="versitygw", programs=("versitygw",)),
        Image(
            name="prometheus",
            programs=(
                *("prometheus", "alertmanager", "pushgateway", "postgres_exporter", "blackbox_exporter"),
                "kube-state-metrics",
            ),
        ),
    )
}


def version() -> str:
    """The project's version, which the images carry."""
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]
