"""What one supervised process is: its command, files, environment, readiness check and way to stop."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpCheck(_Spec):
    """Ready when a GET of `url` answers with `status`."""

    kind: Literal["http"] = "http"
    url: str
    status: int = 200


class CommandCheck(_Spec):
    """Ready when the command exits with 0."""

    kind: Literal["command"] = "command"
    command: tuple[str, ...]


Check = Annotated[HttpCheck | CommandCheck, Field(discriminator="kind")]


class ProcessSpec(_Spec):
    """One supervised process.

    Attributes:
        name: Unique within the platform; also the name of its log file.
        part: The platform's part it belongs to.
        command: Absolute path of the program, then its arguments. Never a secret: any user can read them.
        env: The whole environment, apart from PATH, HOME, LANG and what `secret_env` adds: nothing is inherited.
        secret_env: Variable → name of a file in the platform's `secrets` folder, read just before the start.
        files: Path below the platform's folder → content, written (mode 0600) before the start and removed
            with the process. `${secret:NAME}` stands for the content of a secret and is filled in on writing.
        account: The operating-system account to run under if the platform's owner is root.
        folder: Working folder, relative to the platform's.
        ports: TCP ports on loopback that it will listen on; checked to be free before it is started.
        ready: How to tell that it is up.
        ready_seconds: How long it may take until then.
        stop_signal: What asks it to stop.
        stop_seconds: How long it may take to stop before it is killed.
        waited_for: Whether starting the whole platform waits until it is ready.
        after: Names of the processes that must be ready before this one is started with the whole platform.
    """

    name: str
    part: str = ""
    command: tuple[str, ...]
    env: dict[str, str] = {}
    secret_env: dict[str, str] = {}
    files: dict[str, str] = {}
    account: str | None = None
    folder: str = "."
    ports: tuple[int, ...] = ()
    ready: Check
    ready_seconds: PositiveFloat = 60
    stop_signal: Literal["TERM", "INT", "QUIT"] = "TERM"
    stop_seconds: PositiveFloat = 10
    waited_for: bool = True
    after: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes when anything changes that a running process would have to be restarted for."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @classmethod
    def read(cls, path: Path) -> "ProcessSpec":
        return cls.model_validate_json(path.read_bytes())
