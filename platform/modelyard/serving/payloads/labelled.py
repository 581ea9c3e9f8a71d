"""The newest predictions of a model that have a label."""

from collections.abc import Iterable
from itertools import groupby

import pyarrow.parquet as pq

from modelyard.errors import ModelyardError
from modelyard.serving.payloads.layout import FEEDBACK
from modelyard.serving.payloads.reading import PayloadFiles, RecordedFile
from modelyard.serving.payloads.records import Record


def newest_labelled(files: PayloadFiles, model: str, version: str | None, last: int) -> list[Record]:
    """Predictions with the label that counts of each, the newest first, as columns by name.

    Args:
        files: Of the store.
        model: Its name.
        version: Only of this one.
        last: How many rows at most.

    Raises:
        Unreachable: the store doesn't answer.
        ModelyardError: no prediction has a label.
    """
    by_day = sorted(files.of(FEEDBACK, model, version), key=lambda file: file.day, reverse=True)
    if not by_day:
        files.recorded(model, version)  # nothing recorded is another mistake, and says so itself
        raise ModelyardError(
            f"no recorded prediction of model {model!r} has a label",
            fix=f"hand labels over: `modelyard feedback {model} --labels FILE`",
        )
    found: list[Record] = []
    try:
        for _, of_day in groupby(by_day, key=lambda file: file.day):
            found += _that_count(files, of_day)
            if len(found) >= last:
                break
    except OSError as error:
        raise files.unreachable(error) from error
    found.sort(key=lambda one: (one["time"], -one["row"]), reverse=True)
    return found[:last]


def _that_count(files: PayloadFiles, of_day: Iterable[RecordedFile]) -> list[Record]:
    """Of several labels of a prediction the latest; all are in the folder of the prediction's own day."""
    latest: dict[tuple[str, ...], Record] = {}
    for file in of_day:
        with files.store.files.open_input_file(files.store.path(file.key)) as source:
            for one in pq.read_table(source).to_pylist():
                key = (file.version, one["request_id"], one["row"], one["time"])
                if key not in latest or latest[key]["labelled_at"] <= one["labelled_at"]:
                    latest[key] = one
    return list(latest.values())
