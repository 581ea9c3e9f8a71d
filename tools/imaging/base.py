"""Base images: what one has, and a Debian of our own for machines that reach no registry of images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging.builders import EPOCH, Builder
from imaging.catalog import FOLDER, PYTHON
from toolbox import cache, progress
from toolbox.errors import ToolError

OWN = "localhost/modelyard-base:bookworm"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "libstdc++6", "python3")
LEFT_OUT = ("doc/*", "info/*", "lintian/*", "locale/*", "man/*")
KEPT = ("doc/*/copyright", "locale/locale.alias")
HOOKS = (
    # What the host's name is and where it looks up names is nobody's business.
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1"/var/cache/debconf/*-old "$1/var/cache/ldconfig/aux-cache"',
    'find "$1/var/log" -type f -delete',
    # Files get one time each, so the bytecode made from their former times would be thrown away at every start.
    'chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11',
)


@dataclass(frozen=True)
class Base:
    """A base image: its reference, the distribution it is, and its Debian packages (name, version, architecture)."""

    reference: str
    system: str
    packages: tuple[tuple[str, str, str], ...]


def describe(builder: Builder, reference: str, *, pull: bool, insecure: bool) -> Base:
    """Ask a base image what it has.

    Raises ToolError when it can't be had, or has no Python of the right version.
    """
    with tempfile.TemporaryDirectory() as folder:
        context, target = Path(folder, "context"), Path(folder, "description")
        context.mkdir()
        shutil.copy(FOLDER / "describe.Containerfile", context / "Containerfile")
        shutil.copy(FOLDER / "describe.py", context)
        try:
            builder.export(context, target, arguments={"BASE_IMAGE": reference}, pull=pull, insecure=insecure)
        except ToolError as error:
            raise ToolError(
                f"the base image {reference} can't be used: it is not to be had here, or has no `python3`. {error}\n"
                f"Name another with --base-image, or make one from Debian's packages: tools/images.py base"
            ) from error
        found = json.loads((target / "base.json").read_text())
    if not found["python"].startswith(f"{PYTHON}."):
        raise ToolError(
            f"the base image {reference} has Python {found['python']}, and the images' packages are locked "
            f"for {PYTHON}: name a base image with Python {PYTHON}"
        )
    packages = tuple((package["name"], package["version"], package["arch"]) for package in found["packages"])
    return Base(reference, f"{found['system']['id']}-{found['system']['version']}", packages)


def make(builder: Builder, *, renew: bool = False) -> str:
    """Have a base image made of Debian's packages; returns its reference. Needs root, or user namespaces.

    Args:
        builder: Keeps it.
        renew: Make it anew when there is one: with today's security updates.

    Raises ToolError when it can't be made.
    """
    with cache.locked("images/base"):
        if renew or not builder.has(OWN):
            with progress.doing(f"{OWN}: from Debian's packages"), tempfile.TemporaryDirectory() as folder:
                _bootstrap(Path(folder, "base.tar"))
                Path(folder, "Containerfile").write_text(
                    'FROM scratch\nADD base.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin\nCMD ["python3"]\n'
                )
                builder.build(Path(folder), arguments={}, reference=OWN, pull=False, insecure=False)
    return OWN


def _bootstrap(file: Path) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise ToolError("no mmdebstrap on PATH, which makes the base image: install it (`apt-get install mmdebstrap`)")
    options = [f"--dpkgopt=path-exclude=/usr/share/{path}" for path in LEFT_OUT]
    options += [f"--dpkgopt=path-include=/usr/share/{path}" for path in KEPT]
    options += [f"--customize-hook={hook}" for hook in HOOKS]
    kind = ["--quiet", "--variant=essential", "--skip=output/dev", f"--include={','.join(PACKAGES)}"]
    _run([program, *kind, *options, SUITE, str(file)])


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode != 0:
        last = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-12:])
        raise ToolError(f"the base image could not be made (mmdebstrap ended with {done.returncode}):\n{last}")
