import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.errors import ModelyardError, Unreachable
from modelyard.processes.ports import any_free_port
from modelyard.serving.payload_commands import moment
from modelyard.serving.payloads import StoreAddress
from modelyard.serving.payloads.labels import LabelColumns, read_labels
from modelyard.serving.payloads.reading import PayloadFiles
from tests.support.payload_batches import a_batch, recorded, stored

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)


def labelled(settings):
    """Label by request id and row, the latest one."""
    rows = [row for table in stored(settings.store, "feedback").values() for row in table.to_pylist()]
    return {(row["request_id"], row["row"]): row["label"] for row in sorted(rows, key=lambda row: row["labelled_at"])}


def test_a_label_lies_beside_the_prediction_it_is_about(settings, give):
    recorded(settings, a_batch(["a", "b"], version="3"))
    result = give("b,7")
    ((key, table),) = stored(settings.store, "feedback").items()
    (row,) = table.to_pylist()
    assert (result["matched"], result["unmatched"], result["written"]) == (1, 0, 1)
    assert key.startswith("feedback/model=bike/version=3/day=")
    assert (row["request_id"], row["row"], row["label"], row["output.count"]) == ("b", 0, 7.0, 1.0)
    assert row["time"] < row["labelled_at"]
    assert not any(name.startswith("input.") for name in row)


def test_labels_of_unknown_requests_are_counted_and_named(settings, give):
    recorded(settings, a_batch(["a"]))
    result = give("a,1", "x,1", "y,0")
    assert (result["matched"], result["unmatched"], result["unmatched_ids"]) == (1, 2, ["x", "y"])


def test_the_same_file_twice_changes_nothing(settings, give):
    recorded(settings, a_batch(["a", "b"]))
    give("a,1", "b,0")
    before = stored(settings.store, "feedback")
    again = give("a,1", "b,0")
    assert (again["matched"], again["already_labelled"], again["written"]) == (2, 2, 0)
    assert stored(settings.store, "feedback").keys() == before.keys()


def test_a_later_file_corrects_a_label_and_only_that(settings, give):
    recorded(settings, a_batch(["a", "b"]))
    give("a,1", "b,0")
    result = give("a,0", "b,0")
    assert (result["corrected"], result["already_labelled"], result["written"]) == (1, 1, 1)
    assert labelled(settings) == {("a", 0): 0.0, ("b", 0): 0.0}


def test_a_correction_that_is_taken_back_counts_again(settings, give):
    recorded(settings, a_batch(["a"]))
    for label in (1, 0, 1):
        give(f"a,{label}")
    assert labelled(settings) == {("a", 0): 1.0}


def test_of_lines_about_the_same_row_the_last_counts(settings, give):
    recorded(settings, a_batch(["a", "b"]))
    result = give("a,1", "b,5", "a,2")
    assert (result["duplicates"], result["matched"]) == (1, 2)
    assert labelled(settings) == {("a", 0): 2.0, ("b", 0): 5.0}


def test_rows_of_one_request_get_their_own_labels(settings, give):
    recorded(settings, a_batch(["a"], rows=3))
    give("a,2,yes", "a,0,no", head="request_id,row,label")
    assert labelled(settings) == {("a", 0): "no", ("a", 2): "yes"}


def test_a_label_that_does_not_say_which_of_several_rows_is_not_guessed(settings, give):
    recorded(settings, a_batch(["a"], rows=2), a_batch(["b"]))
    result = give("a,1", "b,1")
    assert (result["needs_row"], result["matched"], result["unmatched"]) == (1, 1, 0)
    assert labelled(settings) == {("b", 0): 1.0}


def test_no_match_at_all_is_a_no(settings, give):
    recorded(settings, a_batch(["a"]))
    assert give("x,1", code=1)["unmatched"] == 1


def test_lines_without_a_label_are_counted(settings, give):
    recorded(settings, a_batch(["a"]))
    result = give("a,1", "b,", "c,")
    assert (result["empty"], result["matched"], result["unmatched"]) == (2, 1, 0)


def test_labels_find_requests_of_all_versions_and_days(settings, give):
    day = 86_400_000_000_000
    now = a_batch().time_ns
    recorded(settings, a_batch(["a"], version="1", time_ns=now - 3 * day), a_batch(["b"], version="2", time_ns=now))
    assert give("a,1", "b,1")["written"] == 2
    assert len(stored(settings.store, "feedback")) == 2


def test_requests_before_since_are_not_looked_at(settings, give):
    now, day = a_batch().time_ns, 86_400_000_000_000
    recorded(settings, a_batch(["old"], time_ns=now - 3 * day), a_batch(["new"], time_ns=now))
    result = give("old,1", "new,1", more=("--since", "2d"))
    assert (result["matched"], result["unmatched_ids"]) == (1, ["old"])


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_labels_may_be_json_lines_or_parquet(settings, run, tmp_path, kind):
    recorded(settings, a_batch(["12", "13"]))
    file = tmp_path / f"truth.{kind}"
    if kind == "jsonl":
        file.write_text('{"id": 12, "truth": true, "note": "x"}\n{"id": 14, "truth": false}\n')
    else:
        pq.write_table(pa.table({"id": [12, 14], "truth": [True, False]}), file)
    names = ("--id-column", "id", "--label-column", "truth")
    assert run("feedback", "bike", "--labels", str(file), "--json", *names)["matched"] == 1
    assert labelled(settings) == {("12", 0): True}


def test_a_missing_column_is_answered_with_those_there_are(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("request_id,truth\na,1\n")
    with pytest.raises(ModelyardError, match=r"no column 'label'; it has: request_id, truth"):
        read_labels(file, LabelColumns())


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", ""), ("x.jsonl", "{nonsense"), ("x.parquet", "PAR1"), ("x.xlsx", "")]
)
def test_a_file_that_is_none_of_labels_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelyardError, match="valid"):
        read_labels(tmp_path / name, LabelColumns())


def test_ids_that_look_like_numbers_stay_what_they_are(tmp_path):
    (tmp_path / "x.csv").write_text("request_id,label\n007,1\n1e5,2\n")
    assert read_labels(tmp_path / "x.csv", LabelColumns()).table["request_id"].to_pylist() == ["007", "1e5"]


def test_a_model_without_a_payload_log_is_told_how_to_get_one(settings, give):
    recorded(settings, a_batch(["a"]))
    with pytest.raises(ModelyardError, match=r"model 'bakery'; there is one for: bike\n.*payload_log: \{sample: 1.0\}"):
        give("a,1", model="bakery")


def test_a_version_that_was_not_recorded_is_answered_with_those_there_are(settings, run):
    recorded(settings, a_batch(version="3"))
    with pytest.raises(ModelyardError, match=r"in version '4'\n.*it was in: 3"):
        run("payloads", "bike", "--version", "4")


def test_the_newest_records_come_first(settings, run):
    now = a_batch().time_ns
    for index, moment_ns in enumerate((now - 5_000_000_000, now, now - 9_000_000_000)):
        recorded(settings, a_batch([f"r{index}"], rows=2, time_ns=moment_ns))
    records = run("payloads", "bike", "--last", "3", "--json")
    assert [(one["request_id"], one["row"]) for one in records] == [("r1", 0), ("r1", 1), ("r0", 0)]


def test_records_are_shown_to_people(settings, run):
    recorded(settings, a_batch(["a"], version="3"))
    assert "count=0" in run("payloads", "bike")


def test_records_may_be_of_one_version_only(settings, run):
    recorded(settings, a_batch(["a"], version="1"), a_batch(["b"], version="2"))
    assert [one["request_id"] for one in run("payloads", "bike", "--version", "1", "--json")] == ["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("90m", NOW - timedelta(minutes=90)),
        ("1.5h", NOW - timedelta(hours=1.5)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T10:00:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_since_is_a_duration_or_a_time(text, expected):
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "30", "-3d", ""])
def test_a_since_that_is_neither_is_refused(text):
    with pytest.raises(ModelyardError, match="valid: 30d"):
        moment(text, NOW)


def test_help_needs_none_of_the_heavy_packages():
    heavy = ("pyarrow", "pandas", "numpy", "pydantic")
    code = f"import sys, modelyard.serving.payload_commands; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_that_does_not_answer_is_unreachable(tmp_path):
    (tmp_path / "key").write_text("x")
    address = StoreAddress("s3://b", f"http://127.0.0.1:{any_free_port()}", None, tmp_path / "key", tmp_path / "key")
    with pytest.raises(Unreachable, match="does not answer"):
        PayloadFiles(address).recorded("bike")
