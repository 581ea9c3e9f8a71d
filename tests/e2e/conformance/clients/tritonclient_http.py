"""NVIDIA's tritonclient over HTTP. Run as: tritonclient_http.py FACTS."""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

facts = json.loads(Path(sys.argv[1]).read_text())
client = triton.InferenceServerClient(facts["http"])


def inputs(model, *, binary):
    found = []
    for name, values in facts["rows"][model].items():
        array = np.array(values) if not isinstance(values[0], str) else np.array(values, dtype=object)
        datatype = {"f": "FP64", "i": "INT64", "O": "BYTES"}[array.dtype.kind]
        one = triton.InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array, binary_data=binary)
        found.append(one)
    return found


def equal(got, expected):
    got = [one.decode() if isinstance(one, bytes) else one for one in np.asarray(got).ravel().tolist()]
    assert got == expected, f"{got} is not {expected}"


assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("numbers")
assert client.is_model_ready("numbers", "1")
assert client.get_server_metadata()["name"] == "modelyard"
metadata = client.get_model_metadata("words")
assert [one["name"] for one in metadata["inputs"]] == list(facts["rows"]["words"])
output = metadata["outputs"][0]["name"]

for model in ("numbers", "words"):
    expected = facts["expected"][model]
    for binary_in in (False, True):
        for binary_out in (False, True):
            wanted = [triton.InferRequestedOutput(output, binary_data=binary_out)]
            found = client.infer(model, inputs(model, binary=binary_in), outputs=wanted, request_id="mine")
            equal(found.as_numpy(output), expected)
            assert found.get_response()["id"] == "mine"
            assert found.get_response()["model_name"] == model
            assert len(found.get_response()["outputs"]) == 1
        equal(client.infer(model, inputs(model, binary=binary_in)).as_numpy(output), expected)

matrix = np.array(list(facts["rows"]["tensor"].values())).T
for binary in (False, True):
    one = triton.InferInput(client.get_model_metadata("tensor")["inputs"][0]["name"], list(matrix.shape), "FP64")
    one.set_data_from_numpy(np.ascontiguousarray(matrix), binary_data=binary)
    found = client.infer("tensor", [one])
    name = found.get_response()["outputs"][0]["name"]
    np.testing.assert_array_equal(found.as_numpy(name), facts["expected"]["tensor"])

compressed = client.async_infer("numbers", inputs("numbers", binary=True)).get_result()
equal(compressed.as_numpy(output), facts["expected"]["numbers"])

for wrong, said in (
    (lambda: client.infer("nothing", inputs("numbers", binary=True)), "nothing"),
    (lambda: client.infer("numbers", inputs("numbers", binary=True)[1:]), "required inputs are missing: 'x0'"),
    (
        lambda: client.infer("numbers", inputs("numbers", binary=True), outputs=[triton.InferRequestedOutput("other")]),
        "has no output 'other'",
    ),
    (lambda: client.get_model_config("numbers"), ""),
):
    refused = None
    try:
        wrong()
    except InferenceServerException as error:
        refused = str(error)
    assert refused is not None, f"not refused: {said}"
    assert said in refused, refused
