"""`modelyard payloads` and `modelyard feedback`: what is typed, and what is printed.

Imports only what `--help` needs; the work is done in `payloads`.
"""

import dataclasses
import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modelyard.serving.payloads.feedback import FeedbackResult
    from modelyard.serving.payloads.reading import PayloadFiles

Stack = Annotated[
    str | None, typer.Option("--stack", help="Which platform; without it MODELYARD_STACK, or the only one there is.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="s3://BUCKET/PREFIX or a folder; without it the platform's own."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_AGO = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SILENT_SECONDS = 2.0
_CELL = 60


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("payloads")(payloads_command)
    app.command("feedback")(feedback_command)


def payloads_command(
    model: Annotated[str, typer.Argument(help="The model's NAME.")],
    *,
    version: Annotated[str | None, typer.Option(help="Only of this version.")] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=10_000, help="How many rows at most.")] = 20,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="Only predictions that `feedback` has stored a label for, with that.")
    ] = False,
    store: StoreUrl = None,
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Show the newest recorded requests of a model, and what it answered."""
    from modelyard.serving.payloads.labelled import newest_labelled
    from modelyard.serving.payloads.records import newest

    records = (newest_labelled if labelled else newest)(_files(store, stack), model, version, last)
    if as_json:
        print(json.dumps(records, default=_plain))
    else:
        _print_records(records, "label" if labelled else "inputs")


def feedback_command(
    model: Annotated[str, typer.Argument(help="The model's NAME.")],
    *,
    labels: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="What was the truth: .csv, .jsonl, .parquet.")
    ],
    label_column: Annotated[str, typer.Option(help="The column with the labels.")] = "label",
    id_column: Annotated[str, typer.Option(help="The column with the request ids.")] = "request_id",
    row_column: Annotated[
        str, typer.Option(help="The column with the row's index in its request; needed if requests have several rows.")
    ] = "row",
    since: Annotated[str, typer.Option(help="Look at requests from then on: 30d, 12h, or a date.")] = "30d",
    store: StoreUrl = None,
    stack: Stack = None,
    as_json: Json = False,
) -> None:
    """Store late labels beside the predictions that they are about."""
    from modelyard.serving.payloads.feedback import join
    from modelyard.serving.payloads.labels import LabelColumns, read_labels

    begin = moment(since, datetime.now(UTC))
    files = _files(store, stack)
    known = read_labels(labels, LabelColumns(label_column, id_column, row_column))
    result = join(files, model, known, since=begin, progress=_Progress())
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        _print_result(result)
    if result.labels and not result.matched:
        raise typer.Exit(1)


def moment(text: str, now: datetime) -> datetime:
    """The moment that `--since` means.

    Args:
        text: A duration before now (`30d`, `12h`, `90m`, `2w`), or a date or time in ISO 8601 (UTC unless it says).
        now: Now.

    Raises:
        ModelyardError: it is neither.
    """
    from modelyard.errors import ModelyardError

    if match := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[match[2]]: float(match[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ModelyardError(f"--since {text!r} is no time", fix="valid: 30d, 12h, 90m, 2w, 2026-01-31") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _files(store: str | None, stack: str | None) -> "PayloadFiles":
    from modelyard.descriptor import find
    from modelyard.serving.payloads.reading import PayloadFiles, address_at, address_of

    return PayloadFiles(address_at(store) if store else address_of(find(stack)))


def _print_records(records: list[dict[str, Any]], at_the_end: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("time (UTC)", "version", "request", "row", "outputs", at_the_end)
    for one in records:
        table.add_row(
            f"{one['time']:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            one["model_version"],
            one["request_id"],
            str(one["row"]),
            _cell(one, "output."),
            _short(one["label"]) if at_the_end == "label" else _cell(one, "input."),
        )
    Console(highlight=False).print(table, markup=False)


def _cell(record: dict[str, Any], prefix: str) -> str:
    found = {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}
    text = ", ".join(f"{name}={_short(value)}" for name, value in found.items())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_result(result: "FeedbackResult") -> None:
    print(f"{result.labels} labels: {result.matched} matched, {result.unmatched} unmatched")
    for count, what in (
        (result.duplicates, "were said again later in the file: the last one counts"),
        (result.empty, "lines have no label or no request id"),
        (result.needs_row, "don't say which row of their request they are about: add a column, see --row-column"),
        (result.already_labelled, "predictions had this label already"),
        (result.corrected, "predictions had another label: from now on this one counts"),
    ):
        if count:
            print(f"  {count} {what}")
    print(f"{result.written} stored in {len(result.files)} files")
    if result.unmatched:
        print(
            f"unmatched, for example {', '.join(result.unmatched_ids)}: not recorded (see payload_log.sample), "
            "older than --since, not in the store yet (about a minute), or of another model",
            file=sys.stderr,
        )


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


class _Progress:
    """Says how far it is, once it takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _SILENT_SECONDS

    def __call__(self, done: int, of: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SILENT_SECONDS
            print(f"{done} of {of} files read", file=sys.stderr, flush=True)
