"""The files of a model version, through the tracking server's artifact proxy."""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml

from modelyard.errors import AnswerIsNo
from modelyard.registry.rest import ARTIFACTS, TrackingApi
from modelyard.registry.versions import ModelFile, ModelVersion, listed

MIB = 1024 * 1024
SPARE_BYTES = 512 * MIB  # the database and the bucket may lie on the same disk

MODEL_FILE = "MLmodel"
LOG_AGAIN = "log and register the model again, or choose another version"
_MAX_FILES = 10_000
_CHUNK_BYTES = 1024 * 1024


def files(api: TrackingApi, model: ModelVersion) -> tuple[ModelFile, ...]:
    """What a version consists of, checked against what its `MLmodel` says is needed to load it.

    Raises:
        AnswerIsNo: files are missing, or can't be had through the tracking server.
        Unreachable: the tracking server doesn't answer.
    """
    found = tuple(_walk(api, model))
    paths = [file.path for file in found]
    if MODEL_FILE not in paths:
        there = f"of it there are only {listed(paths)}" if paths else "nothing is there"
        raise AnswerIsNo(
            f"the files of model version {model} are missing: no {MODEL_FILE} in {model.source} ({there})",
            fix=LOG_AGAIN,
        )
    with api.stream(_address(model, MODEL_FILE)) as answer:
        document = answer.read().decode(errors="replace") if answer else ""
    for needed in _needed(model, document):
        if not any(path == needed or path.startswith(f"{needed}/") for path in paths):
            raise AnswerIsNo(
                f"the files of model version {model} are missing: its {MODEL_FILE} names {needed}, "
                f"and in {model.source} there are only {listed(paths)}",
                fix=LOG_AGAIN,
            )
    return found


def download(api: TrackingApi, model: ModelVersion, folder: Path) -> tuple[ModelFile, ...]:
    """Get all files of a version into a folder, which then is there completely or not at all.

    Args:
        api: Whom to ask.
        model: Which version.
        folder: Where; replaced if it exists.

    Raises:
        AnswerIsNo: files are missing or not as long as the server said.
        Unreachable: the tracking server doesn't answer.
    """
    found = files(api, model)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _refuse_without_room(model, found, folder.parent)
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    fresh.mkdir(mode=0o700)
    try:
        for file in found:
            _download(api, model, file, fresh / file.path)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return found


def _refuse_without_room(model: ModelVersion, files: Sequence[ModelFile], place: Path) -> None:
    needed, free = sum(file.size or 0 for file in files), shutil.disk_usage(place).free
    if needed + SPARE_BYTES > free:
        raise AnswerIsNo(
            f"model version {model} has {needed / MIB:,.0f} MiB, and {place} has {free / MIB:,.0f} MiB free",
            fix=f"make room: {SPARE_BYTES / MIB:,.0f} MiB have to stay free for the rest of the platform",
        )


def _needed(model: ModelVersion, document: str) -> list[str]:
    """The files and folders that a model's `MLmodel` says it is loaded from."""
    try:
        flavor = yaml.safe_load(document)["flavors"]["python_function"]
        named = [flavor.get(key) for key in ("model_path", "data", "code")]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise AnswerIsNo(
            f"model version {model} can't be served: its {MODEL_FILE} names no python_function flavor",
            fix="log it with an MLflow flavor that has one (mlflow.sklearn, mlflow.pyfunc, …)",
        ) from None
    return [one.strip("/") for one in named if isinstance(one, str) and one.strip("./")]


def _walk(api: TrackingApi, model: ModelVersion) -> Iterator[ModelFile]:
    root, folders, count = _root(model), [""], 0
    while folders:
        folder = folders.pop()
        for entry in api.get(ARTIFACTS, {"path": f"{root}/{folder}".rstrip("/")}).get("files", []):
            count += 1
            if count > _MAX_FILES:
                raise AnswerIsNo(
                    f"model version {model} has over {_MAX_FILES} files", fix="log it without what it needn't"
                )
            path = f"{folder}/{_safe_name(str(entry['path']), model)}".lstrip("/")
            if entry.get("is_dir"):
                folders.append(path)
            else:
                size = entry.get("file_size")
                yield ModelFile(path, None if size is None else int(size))


def _download(api: TrackingApi, model: ModelVersion, file: ModelFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with api.stream(_address(model, file.path)) as answer, target.open("wb") as out:
        if answer is None:
            raise AnswerIsNo(f"file {file.path} of model version {model} is missing in {model.source}", fix=LOG_AGAIN)
        for chunk in answer.iter_bytes(_CHUNK_BYTES):
            out.write(chunk)
    length = target.stat().st_size
    if file.size is not None and length != file.size:
        raise AnswerIsNo(
            f"file {file.path} of model version {model} came with {length} bytes instead of {file.size}",
            fix="deploy again; if it happens again, the artifact store lost a part of it",
        )


def _address(model: ModelVersion, path: str) -> str:
    return f"{ARTIFACTS}/{quote(f'{_root(model)}/{path}')}"


def _root(model: ModelVersion) -> str:
    """A source's path among the artifacts that the tracking server hands out."""
    parts = urlsplit(model.source)
    path = parts.path.partition(ARTIFACTS)[2] if parts.scheme in ("http", "https") else parts.path
    proxied = parts.scheme in ("mlflow-artifacts", "http", "https")
    steps = path.strip("/").split("/")
    if not proxied or any(step in ("", ".", "..") for step in steps):
        raise AnswerIsNo(
            f"the files of model version {model} can't be had through the tracking server: they are at {model.source}",
            fix="log the model to an experiment whose artifact location begins with mlflow-artifacts:/",
        )
    return "/".join(steps)


def _safe_name(name: str, model: ModelVersion) -> str:
    if name in ("", ".", "..") or any(mark in name for mark in ("/", "\\", "\0")):
        raise AnswerIsNo(f"model version {model} has a file with a name that is not allowed: {name!r}", fix=LOG_AGAIN)
    return name
