#!/usr/bin/env python3
"""Builds Modelyard's container images, with buildah, podman or docker.

    .venv/bin/python tools/images.py [NAME ...]                        build them (all, when none is named)
    .venv/bin/python tools/images.py --push REGISTRY/PREFIX [NAME ...] and push them
    .venv/bin/python tools/images.py --archive FOLDER [NAME ...]       and write each as an OCI archive
    .venv/bin/python tools/images.py base                              make a base image of Debian's packages, without
                                                                       a registry; its name is for --base-image
    .venv/bin/python tools/images.py clean                             remove the layers kept for the next build
Prints one line per image: its name, digest and reference. What has not changed is not built again. docs/images.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imaging import base, build, builders
from imaging.build import Made, Order
from imaging.catalog import IMAGES, PUBLIC_BASE
from toolbox.errors import Stopped, ToolError, Unavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the images are there. 1: one isn't, and standard error says why. 2: wrong use."""
    chosen = _parse(arguments)
    try:
        builder = builders.find(chosen.builder, chosen.isolation)
        if chosen.names == ["base"]:
            print(base.make(builder, renew=chosen.pull))
            return 0
        if chosen.names == ["clean"]:
            builder.clean()
            return 0
        order = Order(
            base=chosen.base_image,
            tag=chosen.tag,
            push=chosen.push,
            archive=chosen.archive,
            insecure=chosen.insecure_registry,
            pull=chosen.pull,
        )
        made = []
        for image in build.make(chosen.names or IMAGES, order, builder):
            print(f"{image.name}  {image.digest}  {image.reference}", flush=True)
            made.append(image)
        if chosen.output:
            chosen.output.write_text(snippet(made))
    except (ToolError, Unavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Stopped):
        print("interrupted; images that were finished stay", file=sys.stderr)
        return 1
    return 0


def snippet(images: Sequence[Made]) -> str:
    """The lines of a stack's file that pin images by digest."""
    references = [f"      {image.name}: {image.reference}\n" for image in images]
    return "".join(["  modelyard:images:\n    kind: pinned\n    references:\n", *references])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage="images.py [OPTION ...] [NAME ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(IMAGES)}; or base, or clean")
    parser.add_argument("--push", metavar="REGISTRY/PREFIX", default="", help="push to REGISTRY/PREFIX/NAME:TAG")
    parser.add_argument("--archive", metavar="FOLDER", type=Path, help="write FOLDER/NAME.tar, an OCI archive, each")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the lines that pin what was pushed")
    parser.add_argument("--base-image", metavar="IMAGE", default=PUBLIC_BASE, help="default: %(default)s")
    parser.add_argument("--tag", default="", help="default: the project's version")
    parser.add_argument("--pull", action="store_true", help="ask for a newer base image; make an own one anew")
    parser.add_argument("--builder", choices=builders.NAMES, help="default: the first of these on PATH")
    parser.add_argument("--isolation", choices=("chroot", "oci", "rootless"), help="of buildah's and podman's steps")
    parser.add_argument("--insecure-registry", action="store_true", help="speak plain HTTP to registries: for tests")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in IMAGES and chosen.names not in (["base"], ["clean"])]:
        parser.error(
            f"no image is called {', '.join(unknown)}; there are {', '.join(IMAGES)}, and base and clean by themselves"
        )
    if chosen.output and not chosen.push:
        parser.error("--output needs --push: a stack's file pins what a registry has")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
