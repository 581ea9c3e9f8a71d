"""A real local platform for tests: made once per run by the same command a person uses, in a home of its own."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from modelyard import descriptor
from modelyard.descriptor import Descriptor
from modelyard.processes import Supervisor
from modelyard.processes.sweep import strays

ROOT = Path(__file__).resolve().parents[2]
MODELYARD = Path(sys.executable).parent / "modelyard"
MINUTES = 60


@dataclass
class LocalPlatform:
    """One platform, and the `modelyard` command against it."""

    stack: str
    home: Path

    @property
    def stack_file(self) -> Path:
        return ROOT / "stacks" / f"Pulumi.{self.stack}.yaml"

    @property
    def folder(self) -> Path:
        return self.home / "platforms" / self.stack

    @property
    def state_file(self) -> Path:
        return self.home / "pulumi" / ".pulumi" / "stacks" / "modelyard" / f"{self.stack}.json"

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"MODELYARD_HOME": str(self.home), "MODELYARD_STACK": self.stack}

    @property
    def descriptor(self) -> Descriptor:
        return descriptor.read(self.folder / descriptor.FILE_NAME)

    @cached_property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.folder)

    def run(self, *arguments: str, timeout: float = 5 * MINUTES, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `modelyard` against this platform; its exit code is the test's to look at."""
        command = [str(MODELYARD), *arguments]
        return subprocess.run(command, env=self.env | env, cwd=ROOT, capture_output=True, text=True, timeout=timeout)

    def pulumi(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run plain `pulumi` with the environment that `modelyard pulumi-env` prints."""
        lines = self.run("pulumi-env").stdout
        script = f'{lines}\nexec pulumi "$@"'
        command = ["/bin/sh", "-c", script, "pulumi", *arguments, "--stack", self.stack, "--non-interactive"]
        return subprocess.run(
            command, env=self.env | env, cwd=ROOT, capture_output=True, text=True, timeout=5 * MINUTES
        )

    def settings(self) -> dict[str, object]:
        """The stack file's configuration."""
        config: dict[str, object] = yaml.safe_load(self.stack_file.read_text())["config"]
        return config

    def change(self, **parts: object) -> None:
        """Change top-level settings of the stack file; None removes one."""
        document = yaml.safe_load(self.stack_file.read_text())
        for part, value in parts.items():
            if value is None:
                document["config"].pop(f"modelyard:{part}", None)
            else:
                document["config"][f"modelyard:{part}"] = value
        self.stack_file.write_text(yaml.safe_dump(document))

    def pids(self) -> dict[str, int | None]:
        return {process.name: process.pid for process in self.supervisor.status()}

    def resources(self) -> list[dict[str, object]]:
        """The resources in the stack's state."""
        checkpoint = json.loads(self.state_file.read_text())["checkpoint"]
        found: list[dict[str, object]] = checkpoint["latest"].get("resources", [])
        return found


def succeeded(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The finished command, if it succeeded; else an error with all that it said."""
    assert done.returncode == 0, f"{done.args[:3]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def a_platform(stack: str | None = None, *, home: Path | None = None, **settings: object) -> Iterator[LocalPlatform]:
    """A platform that is not up yet; whatever a test made of it is removed at the end.

    Args:
        stack: Its name; left out, a random one.
        home: Its home; left out, one of its own, with a path short enough for sockets.
        settings: Top-level settings other than the preview template's.
    """
    own_home = home is None
    home = home or Path(tempfile.mkdtemp(prefix="my-", dir="/tmp"))
    home.chmod(0o711)
    platform = LocalPlatform(stack or f"t{secrets.token_hex(3)}", home)
    shutil.copy(ROOT / "stacks" / "templates" / "preview.yaml", platform.stack_file)
    platform.change(**settings)
    try:
        yield platform
    finally:
        done = platform.run("down", "--stack", platform.stack, "--yes", "--force")
        leftovers = strays(platform.folder)
        assert done.returncode == 0, f"`down` failed after the test:\n{done.stderr}"
        assert leftovers == [], f"`down` left processes: {leftovers}"
        assert not platform.folder.exists(), f"`down` left {platform.folder}"
        platform.stack_file.unlink(missing_ok=True)
        if own_home:
            shutil.rmtree(home, ignore_errors=True)
