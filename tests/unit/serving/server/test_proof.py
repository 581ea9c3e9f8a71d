import json
import sys

import numpy as np
import pytest

from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading import proof
from modelyard.serving.server.loading.files import model_files
from modelyard.serving.server.loading.proof import Proof, same
from modelyard.serving.server.loading.trial import trial
from modelyard.serving.server.outputs import Output, output
from tests.support import odd_models


def numbers(*values, dtype="float64"):
    return output(np.array(values, dtype=dtype))


def test_numbers_a_few_ulps_apart_are_the_same():
    assert not same(numbers(1.0), numbers(1.0 + 4 * sys.float_info.epsilon))
    assert "1 of 2 numbers differ" in same(numbers(1.0, 2.0), numbers(1.0, 2.0 + 1e-12))


def test_rounding_in_a_batch_is_measured_against_the_largest_number():
    assert not same(numbers(1e-12, 1.0), numbers(2e-12, 1.0), batched=True)
    assert same(numbers(1e-6, 1.0), numbers(2e-6, 1.0), batched=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (numbers(1, dtype="int64"), numbers(1, dtype="float64")),
        (numbers(1.0), numbers(1.0, 1.0)),
        (numbers(1, dtype="int64"), numbers(2, dtype="int64")),
        (numbers(np.nan), numbers(1.0)),
        (numbers("a", dtype="object"), numbers("b", dtype="object")),
        (output({"a": np.zeros(1)}), output({"b": np.zeros(1)})),
        (output(["a"]), output(["b"])),
        (output(np.array(["2020"], "M8[ns]")), output(np.array(["NaT"], "M8[ns]"))),
    ],
)
def test_another_answer_is_told_apart(one, other):
    assert same(one, other)


def test_missing_numbers_are_the_same():
    assert not same(numbers(np.nan, np.inf), numbers(np.nan, np.inf))


def test_a_way_that_answers_otherwise_is_rejected_with_the_reason(saved, monkeypatch):
    from modelyard.serving.server.predictors import MatrixPredictor

    def wrong(self, data, params):
        return Output("array", {"output-0": 1 - self._ask(data).arrays["output-0"]})

    monkeypatch.setattr(MatrixPredictor, "__call__", wrong)
    found = trial(model_files(saved("sklearn_numbers")), allow_pickle=False)
    assert found.way == "frame"
    assert "the input example: output-0: values differ" in found.rejected["matrix"]


@pytest.mark.parametrize(("name", "why"), [("counting", "rows alone"), ("batch_mean", "rows alone")])
def test_a_model_whose_rows_depend_on_others_is_found_out(tmp_path, name, why):
    found = trial(model_files(odd_models.save(tmp_path / name, name)), allow_pickle=True)
    assert (found.way, found.row_wise) == ("pyfunc", False)
    assert why in found.why_not_batched


def test_a_model_without_an_example_is_not_batched_but_served(tmp_path):
    from tests.support.saved_models import sklearn_numbers

    found = trial(model_files(sklearn_numbers(tmp_path / "m", with_example=False)), allow_pickle=False)
    assert (found.way, found.row_wise) == ("matrix", True), "generated rows are enough where there is a signature"


def test_a_proof_is_found_out_once_and_remembered(saved, tmp_path):
    files = model_files(saved("sklearn_numbers"))
    first = proof.prove(files, tmp_path, allow_pickle=False)
    assert first.against.startswith("mlflow.pyfunc 3.")
    remembered = proof.place(files, tmp_path)
    assert json.loads(remembered.read_text())["way"] == "matrix"
    remembered.write_text(remembered.read_text().replace("matrix", "frame"))
    assert proof.prove(files, tmp_path, allow_pickle=False).way == "frame"


def test_a_proof_that_cannot_be_kept_is_no_reason_not_to_serve(saved, caplog):
    made = Proof("matrix", row_wise=True, rows=1, against="")
    proof.remember(made, proof.place(model_files(saved("sklearn_numbers")), __import__("pathlib").Path("/proc/none")))
    assert "can't be remembered" in caplog.text


def test_a_model_that_fails_on_its_own_example_is_refused(saved, monkeypatch):
    from modelyard.serving.server.predictors import PyfuncPredictor

    def broken(self, data, params):
        raise KeyError("x")

    monkeypatch.setattr(PyfuncPredictor, "__call__", broken)
    with pytest.raises(ModelRefused, match="raises KeyError when it is asked for its own input example"):
        trial(model_files(saved("sklearn_numbers")), allow_pickle=False)
