"""What a build gets to see: a folder with the image's Containerfile and everything that goes in, and nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from imaging import programs, sbom, wheels
from imaging.base import Base
from imaging.builders import EPOCH
from imaging.catalog import FOLDER, ROOT, Image, version
from toolbox import settings
from toolbox.errors import ToolError

PROJECT = ("pyproject.toml", "README.md", "LICENSE", "platform/modelyard", "infra/modelyard_infra")
IMAGING = Path(__file__).resolve().parent


def key(image: Image, base: Base) -> str:
    """Changes when anything that goes into an image does."""
    digest = hashlib.sha256(repr((base, version(), [_pinned(name) for name in image.programs])).encode())
    for file in _sources(image):
        digest.update(f"\0{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stage(image: Image, base: Base, folder: Path) -> None:
    """Put an image's context together in ``folder``, which is made anew.

    Raises ToolError when something that goes in is not to be had.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("Containerfile", *image.files):
        shutil.copy(image.folder / name, folder)
    if image.lock:
        shutil.copy(image.lock, folder / "requirements.lock")
        shutil.copy(FOLDER / "install.py", folder)
        wheels.stage(image.lock, folder / "wheels")
    if image.project:
        _build_project(folder / "code")
    versions = programs.stage(image.programs, folder / "programs") if image.programs else {}
    document = sbom.text(image, version=version(), base=base, programs=versions, key=key(image, base))
    (folder / "sbom.cdx.json").write_text(document)


def _sources(image: Image) -> Iterator[Path]:
    yield from sorted(IMAGING.glob("*.py"))
    yield from (image.folder / name for name in ("Containerfile", *image.files))
    for name in image.programs:
        yield from (settings.TOOLS_FOLDER / name / file for file in ("go.mod", "go.sum"))
    if image.lock:
        yield from (image.lock, FOLDER / "install.py")
    if image.project:
        for name in PROJECT:
            yield from _files(ROOT / name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _pinned(tool: str) -> str:
    return f"{tool} {settings.load()[tool].version}"


def _build_project(folder: Path) -> None:
    """Modelyard's wheel, by the hatchling of this environment, which is locked like everything else."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(hatchling, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolError(f"Modelyard's own wheel could not be built:\n{(done.stdout + done.stderr).strip()[-800:]}")
