"""A supervised operating-system process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.processes import ProcessSpec, Supervisor
from modelyard_infra.resources.local import Inputs, LocalProvider


class ProcessProvider(LocalProvider):
    """Puts the process under the platform's supervisor; `up` mends one that died or was altered."""

    replaced_by = ("folder", "name")

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#{inputs['name']}"

    def make(self, inputs: Inputs) -> Inputs:
        _supervisor(inputs).put(_spec(inputs))
        return {}

    def difference(self, inputs: Inputs) -> str | None:
        return _supervisor(inputs).difference(_spec(inputs))

    def unmake(self, inputs: Inputs) -> None:
        if Path(inputs["folder"]).is_dir():
            _supervisor(inputs).remove(inputs["name"])


def _supervisor(inputs: Inputs) -> Supervisor:
    return Supervisor(Path(inputs["folder"]))


def _spec(inputs: Inputs) -> ProcessSpec:
    return ProcessSpec.model_validate({key: value for key, value in inputs.items() if key != "folder"})


class Process(Resource, module="modelyard", name="Process"):
    """One process of a local platform.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        name: Its name under the supervisor, and that of its log.
        part: The part it belongs to; this and all that follow are the fields of `ProcessSpec`.
    """

    name: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        name: str,
        part: str,
        command: Sequence[Input[str]],
        ready: Mapping[str, Any],
        ports: Sequence[Input[int]] = (),
        env: Mapping[str, Input[str]] | None = None,
        secret_env: Mapping[str, Input[str]] | None = None,
        files: Mapping[str, Input[str]] | None = None,
        after: Sequence[str] = (),
        account: str | None = None,
        stop_signal: str = "TERM",
        stop_seconds: float = 10,
        ready_seconds: float = 60,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "name": name,
            "part": part,
            "command": list(command),
            "ready": dict(ready),
            "ports": list(ports),
            "env": dict(env or {}),
            "secret_env": dict(secret_env or {}),
            "files": dict(files or {}),
            "after": list(after),
            "account": account,
            "stop_signal": stop_signal,
            "stop_seconds": stop_seconds,
            "ready_seconds": ready_seconds,
        }
        super().__init__(ProcessProvider(), resource_name, inputs, opts)
