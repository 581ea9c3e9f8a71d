"""PyTorch models of every form that MLflow saves: what is answered, and which are loaded."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from shutil import copy, copytree

import numpy as np
import pandas as pd
import pytest

from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading.files import model_files
from modelyard.serving.server.loading.native import native

ROWS = np.random.default_rng(11).normal(size=(5, 4)).astype(np.float32)
COLUMNS = ["x0", "x1", "x2", "x3"]
TENSORS = ["exported", "pickled", "scripted"]
ULPS = 4


def tensors(rows):
    return [{"name": "input-0", "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()}]


def columns(rows):
    return [
        {"name": name, "shape": [len(rows)], "datatype": "FP32", "data": rows[:, at].tolist()}
        for at, name in enumerate(COLUMNS)
    ]


def infer(client, name, rows):
    inputs = columns(rows) if name == "columns" else tensors(rows)
    outputs = client.post(f"/v2/models/{name}/infer", json={"inputs": inputs}).raise_for_status().json()["outputs"]
    assert {one["datatype"] for one in outputs} == {"FP32"}
    arrays = [np.array(one["data"], np.float32).reshape(one["shape"]) for one in outputs]
    return np.column_stack(arrays)


def expected(pyfunc, name, rows):
    model = pyfunc(name)
    return np.asarray(model.predict(pd.DataFrame(rows, columns=COLUMNS) if name == "columns" else rows))


@pytest.mark.parametrize("name", [*TENSORS, "columns"])
def test_v2_answers_are_those_of_pyfunc(client, pyfunc, name):
    np.testing.assert_array_max_ulp(infer(client, name, ROWS), expected(pyfunc, name, ROWS), maxulp=ULPS)


@pytest.mark.parametrize("name", [*TENSORS, "columns"])
def test_a_single_row_is_answered_as_by_pyfunc(client, pyfunc, name):
    np.testing.assert_array_max_ulp(infer(client, name, ROWS[:1]), expected(pyfunc, name, ROWS[:1]), maxulp=ULPS)


@pytest.mark.parametrize("name", TENSORS)
def test_invocations_answers_are_those_of_pyfunc(client, pyfunc, name):
    answer = client.post(f"/models/{name}/invocations", json={"inputs": ROWS.tolist()}).raise_for_status()
    got = np.array(answer.json()["predictions"], np.float32)
    np.testing.assert_array_max_ulp(got, expected(pyfunc, name, ROWS), maxulp=ULPS)


def test_invocations_of_a_model_with_columns_are_those_of_pyfunc(client, pyfunc):
    body = {"dataframe_split": {"columns": COLUMNS, "data": ROWS.tolist()}}
    answer = client.post("/models/columns/invocations", json=body).raise_for_status()
    got = pd.DataFrame(answer.json()["predictions"]).to_numpy(np.float32)
    np.testing.assert_array_max_ulp(got, expected(pyfunc, "columns", ROWS), maxulp=ULPS)


@pytest.mark.parametrize("name", [*TENSORS, "columns"])
def test_requests_at_the_same_time_get_their_own_answers(client, pyfunc, name):
    want = expected(pyfunc, name, ROWS)
    with ThreadPoolExecutor(8) as clients:
        got = list(clients.map(lambda at: infer(client, name, ROWS[at : at + 1]), [*range(len(ROWS))] * 20))
    np.testing.assert_allclose(np.concatenate(got), np.concatenate([want] * 20), rtol=1e-6)


@pytest.mark.parametrize(("name", "form", "unpickled"), [("exported", "pt2", False), ("pickled", "pickle", True)])
def test_metadata_say_how_a_network_was_loaded(client, name, form, unpickled):
    found = client.get(f"/v2/models/{name}").json()
    assert found["platform"] == "mlflow_pytorch"
    said = found["parameters"]
    assert (said["format"], said["unpickled"], said["path"]) == (form, unpickled, "pyfunc")


@pytest.mark.parametrize("name", ["pickled", "scripted", "columns"])
def test_what_has_to_be_unpickled_is_refused_unless_it_is_allowed(models, name):
    with pytest.raises(ModelRefused, match="allow_pickle"):
        native(model_files(models[name]), allow_pickle=False)


def test_a_pickle_within_an_exported_program_is_refused_before_it_runs(armed):
    folder, mark = armed
    with pytest.raises(ModelRefused, match="not a pickle-free payload"):
        native(model_files(folder), allow_pickle=False)
    assert not mark.exists()


def test_the_pickle_that_is_refused_would_have_run(armed):
    folder, mark = armed
    with suppress(ModelRefused):  # afterwards PyTorch finds that it isn't what should be there
        native(model_files(folder), allow_pickle=True)
    assert mark.exists()


def test_a_pickle_beside_an_exported_program_is_what_mlflow_would_load_so_it_is_refused(models, tmp_path):
    folder = copytree(models["exported"], tmp_path / "both")
    copy(models["pickled"] / "data" / "model.pth", folder / "data")
    with pytest.raises(ModelRefused, match="allow_pickle"):
        native(model_files(folder), allow_pickle=False)
