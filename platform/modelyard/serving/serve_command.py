"""`modelyard serve`: a model server for models of a registry or a folder, without a platform's agent around it."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.errors import ModelyardError

if TYPE_CHECKING:
    from modelyard.registry.mlflow import MlflowRegistry


@dataclass(frozen=True)
class _Served:
    """A model as `python -m modelyard.serving.server --model` takes it."""

    name: str
    version: str
    folder: str
    manifest: str | None
    allow_pickle: bool


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve_command)


def serve_command(  # noqa: PLR0917 (typer makes options of them)
    models: Annotated[
        list[str], typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION, or a folder that MLflow saved.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="V2 and /invocations over HTTP.")] = 8080,
    management_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Metrics and loading; left out: none.")
    ] = None,
    grpc_port: Annotated[int | None, typer.Option(min=1, max=65535, help="V2 over gRPC; left out: none.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = 1,
    allow_pickle: Annotated[
        list[str] | None, typer.Option(help="A model that may be unpickled, by name: its file can run any code.")
    ] = None,
    stack: Annotated[str | None, typer.Option("--stack", "-s", help="The platform with the registry.")] = None,
) -> None:
    """Serve models on this machine, on loopback, until interrupted."""
    served = [_resolved(text, set(allow_pickle or ()), stack) for text in models]
    command = [sys.executable, "-m", "modelyard.serving.server", "--port", str(port), "--workers", str(workers)]
    for option, value in (("--management-port", management_port), ("--grpc-port", grpc_port)):
        if value is not None:
            command += [option, str(value)]
    for one in served:
        command += ["--model", json.dumps(vars(one))]
        print(f"{one.name} version {one.version}: http://127.0.0.1:{port}/v2/models/{one.name}/infer", file=sys.stderr)
    sys.stderr.flush()
    os.execv(sys.executable, command)


def _resolved(text: str, allowed: set[str], stack: str | None) -> _Served:
    if text.startswith("models:/"):
        return _registered(text, allowed, stack)
    folder = Path(text).resolve()
    if not (folder / "MLmodel").is_file():
        raise ModelyardError(
            f"{text} is no folder that MLflow saved a model to",
            fix="name such a folder (it holds a file MLmodel), or a registered model: models:/NAME@ALIAS",
        )
    return _Served(folder.name, "1", str(folder), None, folder.name in allowed)


def _registered(text: str, allowed: set[str], stack: str | None) -> _Served:
    from modelyard.home import home
    from modelyard.serving.model_store import ModelStore

    store = ModelStore(home() / "served", lambda: _registry(stack))
    with _registry(stack) as registry:
        version = registry.resolve(text)
    store.fetch(version)
    folder = store.path(version)
    return _Served(
        version.name, str(version.version), str(folder), str(folder.with_suffix(".json")), version.name in allowed
    )


def _registry(stack: str | None) -> "MlflowRegistry":
    """The registry of MLFLOW_TRACKING_URI, or else of a platform."""
    from modelyard.descriptor import find
    from modelyard.registry.mlflow import MlflowRegistry

    url = os.environ.get("MLFLOW_TRACKING_URI")
    if url and stack is None:
        username, password = (os.environ.get(f"MLFLOW_TRACKING_{key}") for key in ("USERNAME", "PASSWORD"))
        return MlflowRegistry(url, username=username, password=password)
    server = find(stack).tracking_server
    if server is None:
        raise ModelyardError("this platform has no tracking server", fix="set MLFLOW_TRACKING_URI")
    return MlflowRegistry.connect(server.url, server.username, server.password_file)
