import pytest

from modelyard.errors import ModelyardError
from tests.support.payload_batches import a_batch, recorded

DAY = 86_400_000_000_000


def test_labelled_predictions_come_with_outputs_and_label(settings, run, give):
    recorded(settings, a_batch(["a", "b", "c"], version="3"))
    give("b,7")
    (record,) = run("payloads", "bike", "--labelled", "--json")
    assert (record["request_id"], record["output.count"], record["label"]) == ("b", 1.0, 7.0)
    assert record["model_version"] == "3"


def test_of_a_corrected_label_the_latest_counts(settings, run, give):
    recorded(settings, a_batch(["a", "b"]))
    give("a,1", "b,0")
    give("a,0")
    records = run("payloads", "bike", "--labelled", "--json")
    assert {one["request_id"]: one["label"] for one in records} == {"a": 0.0, "b": 0.0}


def test_the_newest_labelled_predictions_come_first_over_days_and_versions(settings, run, give):
    now = a_batch().time_ns
    recorded(
        settings,
        a_batch(["old"], version="1", time_ns=now - 3 * DAY),
        a_batch(["new"], version="2", time_ns=now),
        a_batch(["middle"], version="1", time_ns=now - DAY),
    )
    give("old,1", "new,1", "middle,1")
    newest = [one["request_id"] for one in run("payloads", "bike", "--labelled", "--json", "--last", "2")]
    assert newest == ["new", "middle"]
    assert [one["request_id"] for one in run("payloads", "bike", "--labelled", "--json", "--version", "1")] == [
        "middle",
        "old",
    ]


def test_the_same_id_in_two_versions_means_two_predictions(settings, run, give):
    recorded(settings, a_batch(["a"], version="1"), a_batch(["a"], version="2"))
    give("a,1")
    assert sorted(one["model_version"] for one in run("payloads", "bike", "--labelled", "--json")) == ["1", "2"]


def test_labels_are_shown_to_people_beside_the_answer(settings, run, give):
    recorded(settings, a_batch(["a"]))
    give("a,41.5")
    shown = run("payloads", "bike", "--labelled")
    assert "count=0" in shown
    assert "41.5" in shown


def test_without_any_label_the_command_that_brings_them_is_named(settings, run):
    recorded(settings, a_batch(["a"]))
    with pytest.raises(ModelyardError, match=r"has a label\n.*modelyard feedback bike --labels FILE"):
        run("payloads", "bike", "--labelled")


def test_without_a_payload_log_it_is_that_which_is_missing(settings, run):
    recorded(settings, a_batch(["a"]))
    with pytest.raises(ModelyardError, match="no payload log for model 'bakery'"):
        run("payloads", "bakery", "--labelled")
