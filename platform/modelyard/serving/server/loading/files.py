"""The files of a model: what its `MLmodel` says, and that they are the ones that were meant."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.serving.server.errors import ModelRefused, listed
from modelyard.serving.server.signature import Signature, read

MODEL_FILE = "MLmodel"
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FLAVORS = ("sklearn", "xgboost", "lightgbm", "onnx", "pytorch")


@dataclass(frozen=True)
class ModelFiles:
    """A folder that MLflow saved a model to.

    Attributes:
        flavor: `sklearn`, `xgboost`, `lightgbm`, `onnx`, `pytorch`, or `pyfunc` for whatever else.
        conf: What `MLmodel` says about that flavour.
        pyfunc: What it says about loading the model as a Python function.
        digest: SHA-256 over all names and contents.
    """

    folder: Path
    flavor: str
    conf: Mapping[str, Any]
    pyfunc: Mapping[str, Any]
    document: Mapping[str, Any]
    signature: Signature
    digest: str

    def path(self, relative: str | None) -> Path:
        """A file that `MLmodel` names.

        Raises:
            ModelRefused: it isn't there, or it is outside of the model's folder.
        """
        path = (self.folder / (relative or "")).resolve()
        if not relative or not path.is_relative_to(self.folder.resolve()):
            raise ModelRefused(
                f"{self.folder}: {MODEL_FILE} names {relative!r}, which is outside of the model's folder"
            )
        if not path.exists():
            raise ModelRefused(f"{self.folder}: {MODEL_FILE} names {relative}, which is not there")
        return path


def model_files(folder: Path, manifest: Mapping[str, str] | None = None) -> ModelFiles:
    """Read a model's folder.

    Args:
        folder: Where MLflow saved it.
        manifest: SHA-256 of every file by its path in the folder, if it is known what they should be.

    Raises:
        ModelRefused: it is no model, its files aren't those of the manifest, or a link leads out of it.
    """
    if not (folder / MODEL_FILE).is_file():
        there = listed(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no such folder"
        raise ModelRefused(f"{folder} is no MLflow model: no {MODEL_FILE} in it ({there})")
    found = _digests(folder)
    if manifest is not None and found != dict(manifest):
        wrong = sorted(name for name in found.keys() | manifest.keys() if found.get(name) != manifest.get(name))
        raise ModelRefused(f"{folder}: these files aren't what was downloaded: {listed(wrong)}; deploy the model again")
    document = _document(folder / MODEL_FILE)
    flavors = document["flavors"]
    pyfunc = flavors["python_function"]
    loader = str(pyfunc.get("loader_module", ""))
    name = loader.removeprefix("mlflow.")
    flavor = name if loader.startswith("mlflow.") and name in FLAVORS and name in flavors else "pyfunc"
    try:
        signature = read(document)
    except ValueError as error:
        raise ModelRefused(f"{folder / MODEL_FILE}: {error}") from error
    total = hashlib.sha256(
        "".join(f"{name}\0{digest}\n" for name, digest in sorted(found.items())).encode()
    ).hexdigest()
    return ModelFiles(folder, flavor, flavors.get(flavor) or {}, pyfunc, document, signature, total)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_YAML)  # noqa: S506 (safe, and ten times faster)
        loader = document["flavors"]["python_function"]["loader_module"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelRefused(f"{path} can't be read: {error}") from error
    except (KeyError, TypeError, AttributeError):
        loader = None
    if not isinstance(loader, str):
        raise ModelRefused(f"{path} names no python_function flavor: log the model with an MLflow flavor that has one")
    return dict(document)


def _digests(folder: Path) -> dict[str, str]:
    root, found = folder.resolve(), {}
    for path in sorted(folder.rglob("*")):
        if not path.resolve().is_relative_to(root):
            raise ModelRefused(f"{path} leads out of the model's folder")
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
