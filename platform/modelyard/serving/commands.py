"""`modelyard deploy`, `undeploy` and `models`: what is typed, and what is printed.

Imports only what `--help` needs; the work is done by `operations`.
"""

import dataclasses
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from modelyard.serving.operations import DeployedModel
    from modelyard.serving.pools import HistoryEntry

Stack = Annotated[
    str | None, typer.Option("--stack", help="Which platform; without it MODELYARD_STACK, or the only one there is.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("deploy")(deploy_command)
    app.command("undeploy")(undeploy_command)
    app.command("models")(models_command)


def deploy_command(
    model: Annotated[str, typer.Argument(help="NAME, NAME@ALIAS or NAME/VERSION; NAME alone: its champion.")],
    replicas: Annotated[
        int | None, typer.Option(min=1, max=64, help="Model-server processes; left out: as many as now, or one.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it serves.")] = 180,
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Serve a registered model, and wait until it does."""
    from modelyard.descriptor import here
    from modelyard.serving.operations import deploy

    done = deploy(here(stack), model, replicas=replicas, timeout=timeout, progress=_say)
    if as_json:
        print(json.dumps(dataclasses.asdict(done)))
    else:
        replicas_text = f"{done.replicas} replica{'s' if done.replicas > 1 else ''}"
        print(f"{done.model}/{done.version} serves with {replicas_text} after {done.seconds:.1f} s: {done.url}")


def undeploy_command(
    model: Annotated[str, typer.Argument(help="The model's NAME.")], stack: Stack = None, as_json: Json = False
) -> None:
    """Stop serving a model."""
    from modelyard.descriptor import here
    from modelyard.serving.operations import undeploy

    undeploy(here(stack), model)
    print(json.dumps({"undeployed": model}) if as_json else f"{model} is not deployed any more")


def models_command(
    model: Annotated[str | None, typer.Argument(help="Only this model (for --history and --at).")] = None,
    history: Annotated[bool, typer.Option("--history", help="What was served when, the latest change first.")] = False,
    at: Annotated[datetime | None, typer.Option(help="What was served at this moment (local time).")] = None,
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Show what is deployed, or what was."""
    from modelyard.descriptor import here
    from modelyard.serving import operations

    platform = here(stack)
    if history or at:
        entries = operations.history(platform, model, at=at.astimezone() if at else None)
        _print_history(entries, as_json)
    else:
        rows = [row for row in operations.deployed(platform) if model in (None, row.model)]
        _print_models(rows, as_json)


def _print_models(rows: "list[DeployedModel]", as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(row) for row in rows]))
    elif not rows:
        print("no such model is deployed: `modelyard deploy NAME`")
    else:
        _print_table(
            ("model", "pool", "version", "serving", "ready", "weight", "state"),
            [
                (
                    row.model,
                    row.pool,
                    str(row.version),
                    str(row.serving or "-"),
                    f"{row.ready}/{row.replicas}",
                    f"{row.weight} %",
                    row.state,
                )
                for row in rows
            ],
        )
        for row in rows:
            if row.message:
                print(f"{row.model}/{row.version}: {row.message}")


def _print_history(entries: "list[HistoryEntry]", as_json: bool) -> None:
    if as_json:
        print(json.dumps([{**dataclasses.asdict(entry), "at": entry.at.isoformat()} for entry in entries]))
    elif not entries:
        print("nothing was served then")
    else:
        _print_table(
            ("since", "model", "pool", "version", "weight"),
            [
                (
                    f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}",
                    entry.model,
                    entry.pool,
                    str(entry.version or "-"),
                    f"{entry.weight} %",
                )
                for entry in entries
            ],
        )


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table, markup=False)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
