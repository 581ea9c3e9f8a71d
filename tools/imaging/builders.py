"""The programs that build images: buildah and podman, which are one thing here, and docker.

Every step of our builds works without network and gets none. buildah and podman run the steps by runc or crun; where
neither is, in a plain chroot, which needs no namespaces and no cgroups, so that it also works within containers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from toolbox import cache
from toolbox.errors import ToolError

EPOCH = "1580601600"  # the time of every file in an image: the one that wheels carry, and late enough for zip archives
NAMES = ("buildah", "podman", "docker")
RUNTIMES = ("crun", "runc")
SYSTEM_POLICY = Path("/etc/containers/policy.json")
OWN_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


class Builder(Protocol):
    """What building, pushing and saving images comes down to. Everything raises ToolError when it fails."""

    @property
    def name(self) -> str:
        """The program's."""

    def build(self, context: Path, *, arguments: Mapping[str, str], reference: str, pull: bool, insecure: bool) -> str:
        """Build ``context / "Containerfile"``; returns the image's id."""

    def export(self, context: Path, target: Path, *, arguments: Mapping[str, str], pull: bool, insecure: bool) -> None:
        """Build ``context / "Containerfile"`` and put the image's files into ``target``."""

    def has(self, image: str) -> bool:
        """Whether an image, by id or name, is here."""

    def push(self, image: str, reference: str, *, insecure: bool) -> str:
        """Push an image to a registry; returns the digest that it has there."""

    def save(self, image: str, reference: str, file: Path) -> str:
        """Write an image as an OCI archive; returns its digest."""

    def clean(self) -> None:
        """Remove what was kept for the next build."""


@dataclass(frozen=True)
class Daemonless:
    """buildah or podman, with images of our own in the tools' cache: nobody else's are touched."""

    name: str
    program: str
    isolation: str

    def build(self, context: Path, *, arguments: Mapping[str, str], reference: str, pull: bool, insecure: bool) -> str:
        with tempfile.NamedTemporaryFile() as said:
            self._bud(context, ["--tag", reference, "--iidfile", said.name], arguments, pull, insecure)
            return _read(said.name)

    def export(self, context: Path, target: Path, *, arguments: Mapping[str, str], pull: bool, insecure: bool) -> None:
        self._bud(context, ["--output", f"type=local,dest={target}"], arguments, pull, insecure)

    def has(self, image: str) -> bool:
        return (
            subprocess.run([*self._command, "inspect", "--type", "image", image], capture_output=True).returncode == 0
        )

    def push(self, image: str, reference: str, *, insecure: bool) -> str:
        return self._push(image, f"docker://{reference}", [f"--tls-verify={str(not insecure).lower()}"])

    def save(self, image: str, reference: str, file: Path) -> str:
        fresh = file.with_name(f".{file.name}.new")
        fresh.unlink(missing_ok=True)
        digest = self._push(image, f"oci-archive:{fresh}:{reference}", [])
        fresh.replace(file)
        return digest

    def clean(self) -> None:
        prune = ["rmi", "--prune", "--force"] if self.name == "buildah" else ["image", "prune", "--force"]
        _run([*self._command, *prune])

    def _bud(
        self, context: Path, options: Sequence[str], arguments: Mapping[str, str], pull: bool, insecure: bool
    ) -> None:
        build = [*self._command, "build", "--isolation", self.isolation, "--layers", "--timestamp", EPOCH]
        build += (
            [] if self.isolation == "chroot" else ["--network", "none"]
        )  # a chroot can't be without; pip stays offline
        build += [*self._policy, f"--tls-verify={str(not insecure).lower()}", *(["--pull-always"] if pull else [])]
        command = [
            *build,
            *options,
            *_build_arguments(arguments),
            "--file",
            str(context / "Containerfile"),
            str(context),
        ]
        _run(command, _runtime())

    def _push(self, image: str, target: str, options: Sequence[str]) -> str:
        with tempfile.NamedTemporaryFile() as said:
            command = [*self._command, "push", *self._policy, *options, "--digestfile", said.name, image, target]
            _run(command)
            return _read(said.name)

    @cached_property
    def _command(self) -> list[str]:
        """Overlay mounts where this machine's kernel and disk allow them, else copies of whole trees."""
        root = cache.root() / "images" / "storage"
        run = Path(os.environ.get("XDG_RUNTIME_DIR", "/run" if os.geteuid() == 0 else tempfile.gettempdir()))
        runroot = run / f"modelyard-images-{os.geteuid()}"
        for driver in ("overlay", "vfs"):
            command = [self.program, "--root", str(root), "--runroot", str(runroot), "--storage-driver", driver]
            if subprocess.run([*command, "images", "--quiet"], capture_output=True).returncode == 0:
                break
        return command

    @cached_property
    def _policy(self) -> list[str]:
        """Which signatures images must have: the system's word, or none where it says nothing."""
        users = Path.home() / ".config" / "containers" / "policy.json"
        if SYSTEM_POLICY.exists() or users.exists():
            return []
        own = cache.root() / "images" / "policy.json"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(OWN_POLICY)
        return ["--signature-policy", str(own)]


@dataclass(frozen=True)
class Docker:
    """docker, through its daemon: images are where the daemon keeps them."""

    program: str
    name: str = "docker"

    def build(self, context: Path, *, arguments: Mapping[str, str], reference: str, pull: bool, insecure: bool) -> str:
        with tempfile.NamedTemporaryFile() as said:
            self._build(context, ["--tag", reference, "--iidfile", said.name], arguments, pull)
            return _read(said.name)

    def export(self, context: Path, target: Path, *, arguments: Mapping[str, str], pull: bool, insecure: bool) -> None:
        self._build(context, ["--output", f"type=local,dest={target}"], arguments, pull)

    def has(self, image: str) -> bool:
        return subprocess.run([self.program, "image", "inspect", image], capture_output=True).returncode == 0

    def push(self, image: str, reference: str, *, insecure: bool) -> str:
        """``insecure`` is the daemon's to know: its `insecure-registries`; loopback is among them always."""
        _run([self.program, "tag", image, reference])
        _run([self.program, "push", "--quiet", reference])
        said = _run([self.program, "image", "inspect", "--format", "{{json .RepoDigests}}", reference])
        known = [str(name).partition("@") for name in json.loads(said)]
        digests = [digest for repository, _, digest in known if repository == reference.rpartition(":")[0]]
        if not digests:
            raise ToolError(
                f"docker pushed {reference} and knows no digest of it: push again, or use buildah or podman"
            )
        return digests[-1]

    def save(self, image: str, reference: str, file: Path) -> str:
        raise ToolError("docker writes no OCI archives with digests: use --push, or --builder buildah or podman")

    def clean(self) -> None:
        raise ToolError("docker keeps layers for all that it builds, not only these: `docker builder prune`")

    def _build(self, context: Path, options: Sequence[str], arguments: Mapping[str, str], pull: bool) -> None:
        build = [self.program, "build", "--network", "none", *(["--pull"] if pull else []), *options]
        command = [*build, *_build_arguments(arguments), "--file", str(context / "Containerfile"), str(context)]
        _run(command, {"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": EPOCH})


def find(wanted: str | None = None, isolation: str | None = None) -> Builder:
    """The builder asked for, else the first on PATH of buildah, podman and docker.

    Raises ToolError when it isn't there.
    """
    for name in (wanted,) if wanted else NAMES:
        if program := shutil.which(name):
            return Docker(program) if name == "docker" else Daemonless(name, program, isolation or _isolation())
    missing = f"no {wanted} on PATH" if wanted else f"none of {', '.join(NAMES)} is on PATH"
    raise ToolError(f"{missing}, and images need one of them to be built: install buildah (`apt-get install buildah`)")


def _isolation() -> str:
    """How buildah and podman run steps: as their own variable says, else as what is on PATH allows."""
    if configured := os.environ.get("BUILDAH_ISOLATION"):
        return configured
    if not any(shutil.which(runtime) for runtime in RUNTIMES):
        return "chroot"
    return "oci" if os.geteuid() == 0 else "rootless"


def _runtime() -> dict[str, str]:
    """Which container runtime buildah is to use: it looks for one in a few places only, and not on PATH."""
    found = next((path for runtime in RUNTIMES if (path := shutil.which(runtime))), None)
    return {"BUILDAH_RUNTIME": found} if found and "BUILDAH_RUNTIME" not in os.environ else {}


def _build_arguments(arguments: Mapping[str, str]) -> list[str]:
    return [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env={**os.environ, **(variables or {})}
    )
    if done.returncode != 0:
        last = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-12:])
        verb = next((word for word in command if word in ("build", "push", "tag", "inspect")), "")
        raise ToolError(f"`{Path(command[0]).name} {verb}` failed (exit code {done.returncode}); it said last:\n{last}")
    return done.stdout


def _read(file: str) -> str:
    return Path(file).read_text().strip()
