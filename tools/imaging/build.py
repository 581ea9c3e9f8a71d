"""Builds images, each only when something that goes into it has changed, and puts them where they are wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imaging import base as bases
from imaging import builders, context
from imaging.base import Base
from imaging.builders import Builder
from imaging.catalog import IMAGES, PUBLIC_BASE, Image, version
from toolbox import cache, progress
from toolbox.errors import ToolError


@dataclass(frozen=True, kw_only=True)
class Order:
    """How images are to be built, and what happens with them.

    Attributes:
        base: Reference of the base image.
        tag: Left out, the project's version.
        push: Registry and prefix to push to (``registry.example/team``).
        archive: Folder to write OCI archives to, ``<name>.tar`` each, with its SBOM beside it.
        insecure: Whether registries are asked without TLS.
        pull: Whether to ask the registry for a newer base image.
    """

    base: str = PUBLIC_BASE
    tag: str = ""
    push: str = ""
    archive: Path | None = None
    insecure: bool = False
    pull: bool = False


@dataclass(frozen=True)
class Made:
    """An image that is there. ``digest`` is the registry's or the archive's; of one that is only here, its id."""

    name: str
    digest: str
    reference: str


@dataclass(frozen=True)
class Record:
    """What was built last: from what, into what. ``archives`` has the digest of each archive written of it."""

    key: str
    image: str
    archives: dict[str, str]


def make(names: Iterable[str], order: Order, builder: Builder) -> Iterator[Made]:
    """Build images one after the other, and give each when it is where it was ordered to.

    What has not changed since it was built is not built again, nor written to the same archive again.

    Raises ToolError when one can't be made: those before it stay.
    """
    with cache.locked("images", lambda: progress.say("waiting for another build of images")):
        base = bases.describe(builder, order.base, pull=order.pull, insecure=order.insecure)
        for name in names:
            yield _made(IMAGES[name], order, builder, base)


def own(names: Iterable[str] = IMAGES, *, push: str = "", archive: Path | None = None) -> dict[str, Made]:
    """Images on a base of our own, for machines without a registry of images and for tests: each by its name.

    Args:
        names: Which.
        push: Registry and prefix to push to, over plain HTTP.
        archive: Folder to write OCI archives to.

    Raises ToolError when one can't be made.
    """
    builder = builders.find()
    order = Order(base=bases.make(builder), push=push, archive=archive, insecure=bool(push))
    return {made.name: made for made in make(names, order, builder)}


def _made(image: Image, order: Order, builder: Builder, base: Base) -> Made:
    name, tag = image.name, order.tag or version()
    record = _built(image, order, builder, base, f"localhost/modelyard/{name}:{tag}")
    if order.archive:
        reference = f"localhost/modelyard/{name}:{tag}"
        record = _saved(image, order.archive, reference, builder, record)
        if not order.push:
            return Made(name, record.archives[str(_archive(image, order.archive))], reference)
    if order.push:
        reference = f"{order.push.rstrip('/')}/{name}"
        try:
            digest = builder.push(record.image, f"{reference}:{tag}", insecure=order.insecure)
        except ToolError as error:
            raise ToolError(
                f"{name} was built, and could not be pushed to {reference}:{tag}: {error}\n"
                "Log in to the registry first; one without TLS needs --insecure-registry"
            ) from error
        return Made(name, digest, f"{reference}@{digest}")
    digest = record.image if record.image.startswith("sha256:") else f"sha256:{record.image}"
    return Made(name, digest, f"localhost/modelyard/{name}:{tag}")


def _built(image: Image, order: Order, builder: Builder, base: Base, reference: str) -> Record:
    place = cache.root() / "images" / "contexts" / image.name
    file = place.with_suffix(f".{builder.name}.json")
    key, known = context.key(image, base), _read(file)
    if known and known.key == key and not order.pull and builder.has(known.image):
        return known
    started = time.monotonic()
    with progress.doing(f"{image.name}: building"):
        context.stage(image, base, place)
        arguments = {"BASE_IMAGE": base.reference, "VERSION": version()}
        try:
            built = builder.build(place, arguments=arguments, reference=reference, pull=False, insecure=order.insecure)
        except ToolError as error:
            raise ToolError(f"{image.name} could not be built from {place}: {error}") from error
    progress.say(f"{image.name}: built ({progress.elapsed(started)})")
    record = Record(key, built, {})
    _write(file, record)
    return record


def _saved(image: Image, folder: Path, reference: str, builder: Builder, record: Record) -> Record:
    file, notes = _archive(image, folder), cache.root() / "images" / "contexts" / f"{image.name}.{builder.name}.json"
    if str(file) not in record.archives or not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with progress.doing(f"{image.name}: writing {file}"):
            digest = builder.save(record.image, reference, file)
        document = cache.root() / "images" / "contexts" / image.name / "sbom.cdx.json"
        file.with_suffix(".cdx.json").write_bytes(document.read_bytes())
        record = replace(record, archives={**record.archives, str(file): digest})
        _write(notes, record)
    return record


def _archive(image: Image, folder: Path) -> Path:
    return folder.absolute() / f"{image.name}.tar"


def _read(file: Path) -> Record | None:
    try:
        return Record(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, record: Record) -> None:
    file.write_text(json.dumps(asdict(record), indent=1) + "\n")
