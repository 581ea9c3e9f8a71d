"""Late labels joined with the requests they are about."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from modelyard.serving.payloads.labels import Labels
from modelyard.serving.payloads.layout import FEEDBACK, SCHEMA_VERSION, partition
from modelyard.serving.payloads.reading import PayloadFiles, RecordedFile

_SHOWN = 3
_Key = tuple[str, int, datetime]


@dataclass
class FeedbackResult:
    """What became of the labels of one file.

    Attributes:
        labels: Lines of the file.
        matched: Labels for which there is a recorded row.
        unmatched: Labels for which there is none: not recorded, not yet in the store, or another model's.
        duplicates: Lines that a later line about the same row replaced.
        empty: Lines without a label or a request id.
        needs_row: Labels that don't say which row of their request they are about, which has several; not stored.
        already_labelled: Predictions that had the same label already; nothing was stored for them.
        corrected: Predictions that had another label; the new one is stored and counts from now on.
        written: Predictions that a label was stored for.
        files: Those that were written.
        unmatched_ids: A few of the unmatched.
    """

    model: str
    labels: int
    matched: int = 0
    unmatched: int = 0
    duplicates: int = 0
    empty: int = 0
    needs_row: int = 0
    already_labelled: int = 0
    corrected: int = 0
    written: int = 0
    files: list[str] = field(default_factory=list)
    unmatched_ids: list[str] = field(default_factory=list)


def join(
    files: PayloadFiles, model: str, labels: Labels, *, since: datetime, progress: Callable[[int, int], None]
) -> FeedbackResult:
    """Store each label beside the prediction it is about. Doing it twice changes nothing.

    Args:
        files: Of the store.
        model: Its name.
        labels: What was the truth.
        since: Requests before this moment aren't looked at.
        progress: Told how many files were read, of how many.

    Raises:
        Unreachable: the store doesn't answer; what was stored so far is found again by the next run.
        ModelyardError: nothing was recorded of the model.
    """
    recorded = files.recorded(model, since=since.astimezone(UTC).date())
    result = FeedbackResult(model, labels.count, duplicates=labels.duplicates, empty=labels.empty)
    run = _Run(files, labels, since, result)
    done = 0
    try:
        for (version, day), of_day in groupby(recorded, key=lambda file: (file.version, file.day)):
            parts: list[pa.Table] = []
            for file in of_day:
                parts += run.matching(file)
                done += 1
                progress(done, len(recorded))
            run.store(version, day, parts)
    except OSError as error:
        raise files.unreachable(error) from error
    run.finish()
    return result


class _Run:
    """One file of labels on its way through the recorded files."""

    def __init__(self, files: PayloadFiles, labels: Labels, since: datetime, result: FeedbackResult) -> None:
        self._files = files
        self._labels = labels
        self._since = since
        self._result = result
        self._ids = pc.unique(labels.table["request_id"].combine_chunks())
        self._matched: set[tuple[str, int]] = set()
        self._needs_row: set[str] = set()
        self._now = datetime.now(UTC)

    def matching(self, file: RecordedFile) -> Iterator[pa.Table]:
        """The rows of a recorded file that there are labels for, with the label."""
        scanned = self._scan(file.key, lambda names: [name for name in names if not name.startswith("input.")])
        found = scanned.filter(pc.greater_equal(scanned["time"], pa.scalar(self._since, scanned["time"].type)))
        if not self._labels.has_rows:
            several = pc.unique(found.filter(pc.greater(found["row"], 0))["request_id"])
            self._needs_row |= set(several.to_pylist())
            found = found.filter(pc.invert(pc.is_in(found["request_id"], value_set=several)))
        if not len(found):
            return
        wanted = self._labels.table.filter(pc.is_in(self._labels.table["request_id"], value_set=found["request_id"]))
        # Joined through row numbers: Arrow's join takes no nested columns along.
        keys = found.select(["request_id", "row"]).append_column("at", pa.array(range(len(found)), pa.int64()))
        pairs = keys.join(wanted, ["request_id", "row"], join_type="inner")
        if len(pairs):
            yield found.take(pairs["at"]).append_column("label", pairs["label"])
            self._matched |= set(zip(pairs["request_id"].to_pylist(), pairs["row"].to_pylist(), strict=True))

    def store(self, version: str, day: date, parts: Sequence[pa.Table]) -> None:
        """Store those labels of a version's day that aren't stored yet."""
        if not parts:
            return
        folder = partition(FEEDBACK, self._result.model, version, day)
        known = self._known(folder)
        for part in _of_one_schema(parts):
            fresh = part.filter(pa.array(list(self._is_new(part, known)), pa.bool_()))
            if len(fresh):
                self._write(folder, fresh)

    def finish(self) -> None:
        """Count the labels that found nothing."""
        result, several = self._result, self._needs_row
        result.matched = len(self._matched)
        for one, row in zip(*(self._labels.table[name].to_pylist() for name in ("request_id", "row")), strict=True):
            if (one, row) in self._matched:
                continue
            if one in several:
                result.needs_row += 1
                continue
            result.unmatched += 1
            if len(result.unmatched_ids) < _SHOWN:
                result.unmatched_ids.append(one)

    def _scan(self, key: str, chosen: Callable[[list[str]], list[str]]) -> pa.Table:
        dataset = ds.dataset([self._files.store.path(key)], filesystem=self._files.store.files, format="parquet")
        return dataset.to_table(
            columns=chosen(dataset.schema.names), filter=ds.field("request_id").isin(self._ids), use_threads=False
        )

    def _known(self, folder: str) -> dict[_Key, Any]:
        """The label that counts of each prediction that has one, as text."""
        latest: dict[_Key, tuple[datetime, Any]] = {}
        for key in self._files.store.listed(folder):
            table = self._scan(key, lambda _: ["request_id", "row", "time", "label", "labelled_at"])
            table = table.set_column(3, "label", pc.cast(table["label"], pa.string()))
            for one in table.to_pylist():
                prediction = (one["request_id"], one["row"], one["time"])
                if prediction not in latest or latest[prediction][0] <= one["labelled_at"]:
                    latest[prediction] = (one["labelled_at"], one["label"])
        return {prediction: label for prediction, (_, label) in latest.items()}

    def _is_new(self, part: pa.Table, known: dict[_Key, Any]) -> Iterator[bool]:
        columns = [part[name].to_pylist() for name in ("request_id", "row", "time")]
        labels = pc.cast(part["label"], pa.string()).to_pylist()
        for *prediction, label in zip(*columns, labels, strict=True):
            before = known.get((prediction[0], prediction[1], prediction[2]))
            self._result.already_labelled += before == label
            self._result.corrected += before is not None and before != label
            yield before != label

    def _write(self, folder: str, table: pa.Table) -> None:
        digest = hashlib.sha256()
        for batch in table.to_batches():
            digest.update(batch.serialize())
        key = f"{folder}/{self._now:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:12]}.parquet"
        now = pa.scalar(self._now, pa.timestamp("us", "UTC"))
        whole = table.append_column("labelled_at", pa.repeat(now, len(table)))
        about = {"modelyard.schema": f"feedback-{SCHEMA_VERSION}", "modelyard.model": self._result.model}
        out = pa.BufferOutputStream()
        pq.write_table(whole.replace_schema_metadata(about), out, compression="zstd")
        self._files.store.put(key, out.getvalue())
        self._result.written += len(table)
        self._result.files.append(key)


def _of_one_schema(parts: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """The parts joined as far as their columns have the same types."""
    rest = [part.replace_schema_metadata() for part in parts]
    while rest:
        same = [part for part in rest if part.schema.equals(rest[0].schema)]
        rest = [part for part in rest if not part.schema.equals(same[0].schema)]
        yield pa.concat_tables(same)
