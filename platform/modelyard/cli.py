"""The `modelyard` command: a thin layer over the packages beside it.

Nothing heavy is imported here: `modelyard --help` has to be there at once.
"""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from modelyard.errors import ModelyardError

app = typer.Typer(
    name="modelyard",
    help="Carry models over a platform: deploy them, watch them, and see what is where.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StackOption = Annotated[
    str | None, typer.Option("--stack", "-s", help="The platform's stack [default: MODELYARD_STACK, or the only one]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output, nothing else")]


@app.command()
def status(stack: StackOption = None, as_json: JsonOption = False) -> None:
    """Show every part of the platform, whether it is up, and where."""
    from modelyard import descriptor, status_report

    report = status_report.look(descriptor.find(stack))
    print(status_report.as_json(report) if as_json else status_report.as_table(report))
    raise typer.Exit(0 if report.is_up else 3)


@app.command()
def env(stack: StackOption = None) -> None:
    """Print the export lines that point MLflow and other clients at the platform: eval "$(modelyard env)"."""
    from modelyard import descriptor, environment

    print(environment.export_lines(environment.variables(descriptor.find(stack))))


@app.command()
def logs(
    part: Annotated[str | None, typer.Argument(help="A part or one of its processes; left out: list them")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is written")] = False,
    stack: StackOption = None,
) -> None:
    """Show what the processes of a part said."""
    from modelyard import descriptor, logs

    logs.show(descriptor.find(stack), part, lines=lines, follow=follow)


@app.command("open")
def open_(stack: StackOption = None, as_json: JsonOption = False) -> None:
    """Print the address of everything a browser or a client can open."""
    import json

    from modelyard import descriptor, environment

    addresses = environment.addresses(descriptor.find(stack))
    print(json.dumps(addresses) if as_json else "\n".join(f"{name:<14} {url}" for name, url in addresses.items()))


def _plug_in() -> None:
    from modelyard.kube import connect
    from modelyard.serving import commands, payload_commands, serve_command
    from modelyard.tracking import commands as tracking_commands

    commands.register(app)
    tracking_commands.register(app)
    payload_commands.register(app)
    serve_command.register(app)
    connect.register(app)
    for entry_point in entry_points(group="modelyard.commands"):
        entry_point.load()(app)


def main() -> None:
    """Run the command; an error that a person can act on ends it with its exit code and no traceback."""
    from modelyard.descriptor import InCluster

    _plug_in()
    try:
        try:
            app()
        except InCluster as elsewhere:
            from modelyard.kube import remote

            sys.exit(remote.run(elsewhere.platform, elsewhere.pods, sys.argv[1:]))
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
