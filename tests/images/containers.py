"""An image as a container of runc: its own user, a read-only root, nothing to write to but what is mounted, no network.

What a pod of the restricted standard gets, without a cluster.
"""

import json
import subprocess
import tarfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEMORY = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]}
NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


@dataclass(frozen=True)
class Archive:
    """An OCI archive, unpacked."""

    manifest: dict[str, Any]
    manifest_digest: str
    config: dict[str, Any]
    root: Path


def unpack(archive: Path, folder: Path) -> Archive:
    """Read an archive and put its layers on top of each other in `folder / "rootfs"`."""
    with tarfile.open(archive) as outer:

        def blob(digest: str):
            file = outer.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file is not None
            return file

        index_file = outer.extractfile("index.json")
        assert index_file is not None
        (entry,) = json.load(index_file)["manifests"]
        manifest = json.load(blob(entry["digest"]))
        config = json.load(blob(manifest["config"]["digest"]))
        root = folder / "rootfs"
        root.mkdir(parents=True)
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=blob(layer["digest"]), mode="r|gz") as content:
                for member in content:
                    (root / member.name).parent.mkdir(parents=True, exist_ok=True)
                    if member.isreg() or member.issym():
                        (root / member.name).unlink(missing_ok=True)
                    content.extract(member, root, filter="fully_trusted")
    return Archive(manifest, entry["digest"], config, root)


@dataclass
class Container:
    """A started container."""

    name: str
    process: subprocess.Popen[str]

    def run(self, *command: str) -> str:
        """What a command inside writes."""
        done = subprocess.run(["runc", "exec", self.name, *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, signal: str, seconds: float = 20) -> int:
        """Send a signal to its first process; gives that one's exit code."""
        subprocess.run(["runc", "kill", self.name, signal], check=True)
        return self.process.wait(seconds)

    def remove(self) -> None:
        """Whatever state it is in."""
        subprocess.run(["runc", "delete", "--force", self.name], capture_output=True)
        self.process.wait(20)


@dataclass
class Images:
    """Containers of one unpacked image."""

    archive: Archive
    folder: Path
    started: list[Container] = field(default_factory=list)

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the image to its end; `arguments` take its command's place."""
        container = self.start(*arguments, **options)
        output, errors = container.process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, container.process.returncode, output, errors)

    def start(
        self,
        *arguments: str,
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        volumes: Mapping[str, Path] | None = None,
        user: int | None = None,
    ) -> Container:
        """Start the image. `volumes` are host folders by where they are mounted, writable."""
        config = self.archive.config["config"]
        name = f"modelyard-test-{uuid.uuid4().hex[:12]}"
        bundle = self.folder / name
        bundle.mkdir()
        own_user = int(config["User"].partition(":")[0])
        process = {
            "user": {"uid": own_user if user is None else user, "gid": own_user},
            "args": [*(entrypoint or config["Entrypoint"]), *(arguments or config.get("Cmd", []))],
            "env": [*config["Env"], *(f"{key}={value}" for key, value in (env or {}).items())],
            "cwd": config.get("WorkingDir", "/"),
            "noNewPrivileges": True,
            "capabilities": {},
        }
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **MEMORY, "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", **MEMORY},
            {"destination": "/tmp", **MEMORY},
            *(
                {"destination": place, "type": "bind", "source": str(path), "options": ["bind", "rw"]}
                for place, path in (volumes or {}).items()
            ),
        ]
        document = {
            "ociVersion": "1.0.2",
            "process": process,
            "root": {"path": str(self.archive.root), "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
        }
        (bundle / "config.json").write_text(json.dumps(document))
        command = ["runc", "run", "--bundle", str(bundle), name]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        container = Container(name, subprocess.Popen(command, text=True, **pipes))
        self.started.append(container)
        return container
