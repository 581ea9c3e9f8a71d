"""Runs in the build stages of an image: the locked packages, then the project, compiled to bytecode.

    python3 install.py packages    the virtual environment /opt/modelyard, and what the system needs besides
    python3 install.py project     the project's files alone, below /build/project

Needs no network and reads none of pip's settings: everything comes from the folders beside this file, pip itself too.
An image's root is read-only and its files all have one time, so bytecode is never checked against its source.
"""

import compileall
import importlib.util
import py_compile
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

BUILD = Path(__file__).resolve().parent
ENVIRONMENT = Path("/opt/modelyard")
SYSTEM = BUILD / "system"
PROJECT = BUILD / "project"
USER = 10001
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def packages() -> None:
    """Install what requirements.lock names, hashes checked."""
    venv.create(ENVIRONMENT, symlinks=True)
    _pip("--require-hashes", "--find-links", str(BUILD / "wheels"), "--requirement", str(BUILD / "requirements.lock"))
    _compile(ENVIRONMENT / "lib")
    _compile_standard_library()
    _name_the_user()


def project() -> None:
    """Install the project's wheel on top."""
    _pip("--root", str(PROJECT), "--find-links", str(BUILD / "code"), "modelyard")
    _compile(PROJECT, stripdir=str(PROJECT))


def _pip(*arguments: str) -> None:
    pip = next((BUILD / "wheels").glob("pip-*.whl")) / "pip"
    options = ["--isolated", "--no-cache-dir", "--disable-pip-version-check", "--quiet"]
    install = [
        "install",
        "--root-user-action",
        "ignore",
        "--no-index",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-compile",
    ]
    python = str(ENVIRONMENT / "bin" / "python")
    subprocess.run([python, "-I", str(pip), *options, *install, *arguments], check=True)


def _compile(folder: Path, stripdir: str | None = None) -> None:
    """One file after the other: side by side, the same source gives now these bytes, now others.

    What doesn't compile is left out: packages bring templates of modules along.
    """
    compileall.compile_dir(folder, maxlevels=50, quiet=2, stripdir=stripdir, invalidation_mode=UNCHECKED)


def _compile_standard_library() -> None:
    """Bytecode for a base image that has none, such as the official Python image; nothing for one that has."""
    library = Path(sysconfig.get_path("stdlib"))
    SYSTEM.mkdir(exist_ok=True)
    for source in sorted(library.rglob("*.py")):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        skipped = {"site-packages", "dist-packages", "test", "tests"} & set(source.relative_to(library).parts)
        if not skipped and not compiled.exists():
            target = SYSTEM / compiled.relative_to("/")
            py_compile.compile(str(source), cfile=str(target), invalidation_mode=UNCHECKED, quiet=2)


def _name_the_user() -> None:
    """A name for the image's user: PostgreSQL's programs and Python's getpass ask for it."""
    (SYSTEM / "etc").mkdir(parents=True, exist_ok=True)
    for name, line in (
        ("passwd", f"modelyard:x:{USER}:{USER}::/tmp:/usr/sbin/nologin\n"),
        ("group", f"modelyard:x:{USER}:\n"),
    ):
        (SYSTEM / "etc" / name).write_text((Path("/etc") / name).read_text() + line)


if __name__ == "__main__":
    {"packages": packages, "project": project}[sys.argv[1]]()
