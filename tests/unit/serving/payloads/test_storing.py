import numpy as np
import pytest

from modelyard.serving.payloads import Columns, Matrix, PayloadBatch
from modelyard.serving.payloads.spool import Spool
from modelyard.serving.payloads.stats import Drops
from modelyard.serving.payloads.storing import Storing
from tests.support.payload_batches import a_batch, recorded, stored, stored_ids

NOT_BATCHES = {
    "more rows than said": PayloadBatch("bike", "1", 0, ["a"], [1], Matrix(("x",), np.zeros((5, 1))), {}),
    "fewer ids than rows": PayloadBatch("bike", "1", 0, ["a"], [1, 1], Matrix(("x",), np.zeros((2, 1))), {}),
    "no rows": PayloadBatch("bike", "1", 0, ["a"], None, Matrix(("x",), np.zeros((1, 1))), {}),
    "no inputs": PayloadBatch("bike", "1", 0, ["a"], [1], None, {}),
    "no time": PayloadBatch("bike", "1", "now", ["a"], [1], Matrix(("x",), np.zeros((1, 1))), {}),
    "no array": PayloadBatch("bike", "1", 0, ["a"], [1], Matrix(("x",), np.zeros((1, 1))), {"y": [1.0]}),
}


@pytest.mark.parametrize("what", NOT_BATCHES)
def test_a_batch_that_is_not_one_is_counted_and_the_others_are_stored(settings, what):
    drops = Drops()
    spool = Spool(settings)
    storing = Storing(spool, frozenset(), drops)
    storing.store([a_batch(["good"]), NOT_BATCHES[what], a_batch(["too"])])
    spool.close()
    assert drops.by_reason() == {"not_storable": 1}
    assert storing.requests == 2


def test_request_ids_that_are_no_text_for_utf_8_are_stored_nearly(settings):
    recorded(settings, a_batch(["a\ud800"]))
    assert stored_ids(settings.store) == ["a?"]


def test_columns_that_differ_begin_another_file_of_the_same_segment(settings):
    other = PayloadBatch("bike", "1", a_batch().time_ns, ["a"], [1], Columns({"x": np.ones(1)}), {})
    recorded(settings, other, a_batch(["b"]))
    first, second = sorted(key.rpartition("/")[2].removesuffix(".parquet") for key in stored(settings.store))
    assert first == f"{second}-1" or second == f"{first}-1"
