from datetime import UTC, datetime

from modelyard.serving.ledger import shares_of
from modelyard.serving.pools import DesiredPool, HistoryEntry
from modelyard.serving.saved import Saved, SavedFile
from modelyard.serving.world import Failure, Memory, Serving

STABLE, CANARY = ("bike", "stable"), ("bike", "canary")
DESIRED = (DesiredPool("bike", "stable", 2, 1, 100, 7, "two"),)
MEMORY = Memory({STABLE: Serving(1, 3)}, {("bike", 2): Failure(7, "no")})
UNWRITTEN = (HistoryEntry(datetime(2026, 3, 1, tzinfo=UTC), "bike", "stable", 1, 100),)


def test_what_is_saved_is_read_again(tmp_path):
    saved = Saved.of(DESIRED, MEMORY, {("bike", 1): "one"}, {STABLE: (1, 100)}, UNWRITTEN)
    SavedFile(tmp_path / "state.json").write(saved)
    read = SavedFile(tmp_path / "state.json").read()
    assert read == saved
    assert read.memory == MEMORY
    assert read.sources == {("bike", 1): "one", ("bike", 2): "two"}
    assert read.live == {STABLE: (1, 100)}
    assert read.unwritten == UNWRITTEN


def test_it_is_known_when_somebody_deletes_it(tmp_path):
    file = SavedFile(tmp_path / "state.json")
    file.write(Saved(desired=()))
    assert not file.is_lost()
    (tmp_path / "state.json").unlink()
    assert file.is_lost()


def test_without_a_file_nothing_is_known_to_be_wanted(tmp_path):
    assert SavedFile(tmp_path / "state.json").read().desired is None


def test_a_damaged_file_counts_as_none(tmp_path):
    (tmp_path / "state.json").write_text('{"desired": [')
    assert SavedFile(tmp_path / "state.json").read() == Saved()


def test_wanting_nothing_is_not_the_same_as_not_knowing(tmp_path):
    SavedFile(tmp_path / "state.json").write(Saved(desired=()))
    assert SavedFile(tmp_path / "state.json").read().desired == ()


def test_a_pool_that_is_alone_has_all_requests():
    assert shares_of({STABLE: 90}) == {STABLE: 100}
    assert shares_of({STABLE: 90, CANARY: 10}) == {STABLE: 90, CANARY: 10}
    assert shares_of({STABLE: 0}) == {STABLE: 100}
