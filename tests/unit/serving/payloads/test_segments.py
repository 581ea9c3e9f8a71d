import errno
import os

import pytest

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.segments import OpenSegment, SegmentName, claimed, sweep, use, waiting
from modelyard.serving.payloads.spool import Spool, SpoolFull

NAME = SegmentName(1_767_225_600_000_000_000, "0a1b2c3d", 7)


@pytest.fixture
def segment(tmp_path):
    return OpenSegment(tmp_path, NAME)


def test_names_say_when_and_whose():
    assert SegmentName.of(NAME.file) == NAME
    assert NAME.stem == "20260101T000000Z-0a1b2c3d-000007"
    assert SegmentName.of("notes.txt") is None


def test_nobody_gets_a_segment_that_is_being_written(segment):
    with claimed(segment.path) as is_mine:
        assert not is_mine


def test_a_closed_segment_is_for_one_writer_only(segment):
    segment.close()
    with claimed(segment.path) as first, claimed(segment.path) as second:
        assert (first, second) == (True, False)


def test_a_segment_that_another_writer_has_deleted_is_nobodys(segment):
    segment.close()
    segment.path.unlink()
    with claimed(segment.path) as is_mine:
        assert not is_mine


def test_a_forked_child_does_not_keep_a_closed_segment(segment):
    copy = os.dup(segment._file)
    segment.close()
    with claimed(segment.path) as is_mine:
        assert is_mine
    os.close(copy)


def test_a_full_disk_leaves_no_half_frame(segment, monkeypatch):
    segment.append([b"whole"], 1)

    def half(file, pieces):
        os.write(file, pieces[0][:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", half)
    with pytest.raises(OSError, match="No space"):
        segment.append([b"second"], 1)
    assert segment.path.read_bytes() == b"whole"


def test_a_write_that_comes_to_an_end_early_goes_on(segment, monkeypatch):
    monkeypatch.setattr(os, "writev", lambda file, pieces: os.write(file, pieces[0][:2]))
    segment.append([b"abc", b"def"], 1)
    assert segment.path.read_bytes() == b"abcdef"


def test_only_the_owner_may_read_what_was_recorded(tmp_path):
    segment = OpenSegment(tmp_path / "spool", NAME)
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert segment.path.stat().st_mode & 0o077 == 0


def test_what_is_in_a_folder_is_told(tmp_path, segment):
    segment.append([b"x" * 100], 1)
    (tmp_path / NAME.file.replace("000007.segment", "000008.unreadable")).write_bytes(b"y")
    (tmp_path / "notes.txt").write_bytes(b"z" * 1000)
    assert use(tmp_path) == segments.SpoolUse(101, NAME.created_ns, 1)


def test_empty_files_of_a_killed_process_are_swept_once_they_are_old(tmp_path):
    old, new = (tmp_path / f".{NAME.file}.{one}" for one in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_segments_come_the_oldest_first(tmp_path):
    for created in (3, 1, 2):
        OpenSegment(tmp_path, SegmentName(created, "aa", 1)).close()
    assert [SegmentName.of(path.name).created_ns for path in waiting(tmp_path)] == [1, 2, 3]


def test_a_spool_takes_what_others_left_into_account(settings, tmp_path):
    settings.spool.mkdir()
    (settings.spool / NAME.file).write_bytes(b"x")
    os.truncate(settings.spool / NAME.file, int(settings.max_spool_mib * 1024 * 1024))
    with pytest.raises(SpoolFull):
        Spool(settings).append([b"x"], 1)


def test_a_segment_is_closed_by_its_rows(settings):
    spool = Spool(settings)
    assert not spool.append([b"x"], settings.max_rows - 1)
    assert spool.append([b"x"], 1)
    assert spool.seconds_left() is None
