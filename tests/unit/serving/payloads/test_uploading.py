"""The way to a real S3 server."""

from dataclasses import replace

import numpy as np
import pyarrow.dataset as ds
import pytest

from modelyard.serving.payloads import segments
from modelyard.serving.payloads.batches import Columns, PayloadBatch
from modelyard.serving.payloads.frames import encode
from modelyard.serving.payloads.joining import joined
from modelyard.serving.payloads.segments import OpenSegment, SegmentName
from modelyard.serving.payloads.store import Store
from modelyard.serving.payloads.uploading import StoreAway, Uploading
from modelyard.serving.payloads.writer_process import WriterTotals
from tests.support.payload_batches import a_batch, recorded, stored, stored_ids
from tests.support.s3_server import S3Server


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield server
    server.kill()


@pytest.fixture
def in_s3(s3, settings, request):
    """Settings with a folder of its own on the S3 server."""
    return replace(settings, store=replace(s3.address, destination=f"{s3.address.destination}/{request.node.name}"))


def segment(folder, batch, number=1):
    made = OpenSegment(folder, SegmentName(1_767_225_600_000_000_000, "0a", number))
    made.append(encode(joined([batch], frozenset())), 1)
    made.close()
    return made.path


def work_off(settings):
    totals = WriterTotals()
    for _ in Uploading(settings, totals).work_off():
        pass
    return totals


def test_any_reader_of_hive_partitions_finds_model_version_and_day(in_s3):
    recorded(in_s3, a_batch(["a"], rows=2, model="50 % / é=1", version="12", time_ns=1_767_225_600_000_000_000))
    store = Store(in_s3.store)
    dataset = ds.dataset(store.path("payloads"), filesystem=store.files, partitioning="hive")
    (first, _) = dataset.to_table().to_pylist()
    assert (first["model"], first["version"], first["day"]) == ("50 % / é=1", 12, "2026-01-01")
    assert (first["request_id"], first["model_version"], first["output.count"]) == ("a", "12", 0.0)


def test_a_second_upload_of_a_segment_replaces_the_first(in_s3):
    path = segment(in_s3.spool, a_batch(["a"]))
    content = path.read_bytes()
    work_off(in_s3)
    path.write_bytes(content)
    work_off(in_s3)
    assert stored_ids(in_s3.store) == ["a"]


def test_a_store_that_refuses_keeps_the_segment_and_is_told(in_s3, tmp_path):
    (tmp_path / "wrong").write_text("wrong")
    path = segment(in_s3.spool, a_batch(["a"]))
    refused = replace(in_s3, store=replace(in_s3.store, secret_key_file=tmp_path / "wrong"))
    uploading = Uploading(refused, WriterTotals())
    with pytest.raises(StoreAway):
        list(uploading.work_off())
    assert path.exists()


def test_changed_keys_are_read_again_after_a_failure(in_s3, tmp_path):
    (tmp_path / "key").write_text("wrong")
    segment(in_s3.spool, a_batch(["a"]))
    settings = replace(in_s3, store=replace(in_s3.store, secret_key_file=tmp_path / "key"))
    uploading = Uploading(settings, WriterTotals())
    with pytest.raises(StoreAway):
        list(uploading.work_off())
    (tmp_path / "key").write_text(in_s3.store.secret_key_file.read_text())
    list(uploading.work_off())
    assert stored_ids(in_s3.store) == ["a"]


def test_a_segment_that_the_store_does_not_take_does_not_hold_up_the_others(settings):
    first = segment(settings.spool, a_batch(["poison"], model="poison"), 1)
    segment(settings.spool, a_batch(["fine"]), 2)
    uploading = Uploading(settings, WriterTotals())
    uploading._store = _Picky(Store(settings.store))
    uploading._failed.clear()
    with pytest.raises(StoreAway):
        list(uploading.work_off())
    uploading._store = _Picky(Store(settings.store))
    with pytest.raises(StoreAway):
        list(uploading.work_off())
    assert stored_ids(settings.store) == ["fine"]
    assert first.exists()


class _Picky:
    def __init__(self, store):
        self._store = store

    def put(self, key, content):
        if "poison" in key:
            raise OSError("no")
        self._store.put(key, content)


def test_an_unreadable_segment_is_set_aside_and_the_next_one_is_uploaded(settings, monkeypatch):
    import modelyard.serving.payloads.frames as frames

    bad = segment(settings.spool, PayloadBatch("bike", "1", 0, ["bad"], [1], Columns({"x": np.ones(1)}), {}), 1)
    segment(settings.spool, a_batch(["good"]), 2)
    content = bad.read_bytes().replace(b'"ids"', b'"idz"')
    head, body = content[frames._PREFIX.size :], b""
    magic, head_length, body_length, _ = frames._PREFIX.unpack_from(content)
    bad.write_bytes(frames._PREFIX.pack(magic, head_length, body_length, frames.zlib.crc32(head + body)) + head)
    work_off(settings)
    assert stored_ids(settings.store) == ["good"]
    assert segments.use(settings.spool).set_aside == 1


def test_what_was_uploaded_is_counted(in_s3):
    segment(in_s3.spool, a_batch(["a", "b"], rows=3))
    done = work_off(in_s3)
    assert (done.files, done.rows, done.failures) == (1, 6, 0)
    assert done.bytes > 0


def test_a_local_store_never_shows_half_a_file(settings, monkeypatch):
    seen = []
    recorded(settings, a_batch(["a"]))
    seen += list(stored(settings.store))
    assert not any(".parquet." in key for key in Store(settings.store).listed("payloads", recursive=True))
    assert len(seen) == 1
