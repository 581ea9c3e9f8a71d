"""Models on this machine's disk, so that they can be started again when the tracking server is down."""

import hashlib
import json
import shutil
from collections.abc import Callable, Set
from pathlib import Path
from typing import Protocol, Self

from modelyard.processes.files import write_private
from modelyard.registry.versions import ModelVersion
from modelyard.serving.clusters import slug

KEPT_PER_MODEL = 5


class Registry(Protocol):
    """Where models come from."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def download(self, model: ModelVersion, folder: Path) -> object:
        """Make `folder` hold the model's files, all or none."""


class ModelStore:
    """Downloaded models, each in `NAME/VERSION-SOURCE/` with a manifest of its files' digests beside it.

    The source is part of the path because a registry that was made anew numbers its versions from 1 again.

    Args:
        folder: Where they lie.
        connect: Opens the registry they come from.
    """

    def __init__(self, folder: Path, connect: Callable[[], Registry]) -> None:
        self.folder = folder
        self._connect = connect

    def path(self, model: ModelVersion) -> Path:
        """Where a model's files are, once `fetch` has returned."""
        source = hashlib.sha256(model.source.encode()).hexdigest()[:8]
        return self.folder / slug(model.name) / f"{model.version}-{source}"

    def fetch(self, model: ModelVersion) -> None:
        """Make sure that the model's files are here and are what was once downloaded.

        Raises:
            ModelyardError: they had to be downloaded, and that failed.
        """
        folder, manifest = self.path(model), self._manifest(model)
        try:
            known = json.loads(manifest.read_text())
        except (OSError, ValueError):
            known = None
        if known is not None and known == digests(folder):
            return
        with self._connect() as registry:
            registry.download(model, folder)
        write_private(manifest, json.dumps(digests(folder), indent=1))

    def sweep(self) -> None:
        """Delete what a killed agent had half downloaded."""
        for unfinished in self.folder.glob("*/.*/"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def forget_all_but(self, needed: Set[ModelVersion]) -> None:
        """Delete what is old: the newest few models of each name stay, and all that are needed."""
        keep = {self.path(model) for model in needed}
        for name in self.folder.glob("*/"):
            folders = sorted((path for path in name.glob("[0-9]*/")), key=lambda path: -path.stat().st_mtime)
            for folder in folders[KEPT_PER_MODEL:]:
                if folder not in keep:
                    folder.with_suffix(".json").unlink(missing_ok=True)
                    shutil.rmtree(folder, ignore_errors=True)

    def _manifest(self, model: ModelVersion) -> Path:
        return self.path(model).with_suffix(".json")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
