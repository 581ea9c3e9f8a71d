"""What is in an image, as CycloneDX: its Python packages, the base's Debian packages, programs of tools.toml."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from imaging.base import Base
from imaging.builders import EPOCH
from imaging.catalog import Image
from toolbox.errors import ToolError

CERTIFICATES = "ca-certificates"  # all that an image without Python takes from the base


def text(image: Image, *, version: str, base: Base, programs: Mapping[str, str], key: str) -> str:
    """The SBOM of an image, the same for the same contents.

    Args:
        image: The image.
        version: Of the project.
        base: What it stands on.
        programs: Tools of tools.toml in it, with their versions.
        key: Names its contents: the document's serial number follows from it.

    Raises ToolError when the lock can't be read.
    """
    bom = _of_lock(image.lock) if image.lock else Bom()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, key)
    bom.metadata.timestamp = datetime.fromtimestamp(int(EPOCH), UTC)
    bom.metadata.component = Component(
        name=f"modelyard/{image.name}", version=version, type=ComponentType.CONTAINER, bom_ref=f"image:{image.name}"
    )
    if image.project:
        bom.components.add(_component("pypi", "modelyard", version))
    for name, found in programs.items():
        bom.components.add(_component("generic", name, found, kind=ComponentType.APPLICATION))
    for name, found, arch in base.packages:
        if image.lock or name == CERTIFICATES:
            qualifiers = {"arch": arch, "distro": base.system}
            namespace = base.system.partition("-")[0]
            bom.components.add(_component("deb", name, found, namespace=namespace, qualifiers=qualifiers))
    for component in bom.components:
        component.description = None  # the lock's line, hashes and all, which the component has already
    bom.register_dependency(bom.metadata.component, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _of_lock(lock: Path) -> Bom:
    cyclonedx = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(lock),
        "--output-reproducible",
        "--no-validate",
    ]
    done = subprocess.run(
        [*cyclonedx, "--spec-version", "1.6", "--output-format", "JSON"], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ToolError(f"cyclonedx-py can't read {lock}: {done.stderr.strip()[-400:]}")
    bom = Bom.from_json(json.loads(done.stdout))  # type: ignore[attr-defined]  # a decorator makes it
    assert isinstance(bom, Bom)
    return bom


def _component(
    kind_of_package: str,
    name: str,
    version: str,
    *,
    kind: ComponentType = ComponentType.LIBRARY,
    namespace: str | None = None,
    qualifiers: Mapping[str, str] | None = None,
) -> Component:
    purl = PackageURL(kind_of_package, namespace, name, version, dict(qualifiers or {}))
    return Component(name=name, version=version, type=kind, purl=purl, bom_ref=purl.to_string())
