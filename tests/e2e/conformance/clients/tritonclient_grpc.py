"""NVIDIA's tritonclient over gRPC. Run as: tritonclient_grpc.py FACTS."""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

facts = json.loads(Path(sys.argv[1]).read_text())
client = triton.InferenceServerClient(facts["grpc"])


def inputs(model):
    found = []
    for name, values in facts["rows"][model].items():
        array = np.array(values) if not isinstance(values[0], str) else np.array(values, dtype=object)
        one = triton.InferInput(name, list(array.shape), {"f": "FP64", "i": "INT64", "O": "BYTES"}[array.dtype.kind])
        one.set_data_from_numpy(array)
        found.append(one)
    return found


def equal(got, expected):
    got = [one.decode() if isinstance(one, bytes) else one for one in np.asarray(got).ravel().tolist()]
    assert got == expected, f"{got} is not {expected}"


assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("numbers", "1")
assert client.get_server_metadata().name == "modelyard"
metadata = client.get_model_metadata("words")
assert [one.name for one in metadata.inputs] == list(facts["rows"]["words"])
output = metadata.outputs[0].name

for model in ("numbers", "words"):
    found = client.infer(model, inputs(model), request_id="mine")
    equal(found.as_numpy(output), facts["expected"][model])
    assert found.get_response().id == "mine"
    found = client.infer(model, inputs(model), outputs=[triton.InferRequestedOutput(output)], client_timeout=10)
    equal(found.as_numpy(output), facts["expected"][model])
    assert len(found.get_response().outputs) == 1

equal(client.infer("words", inputs("words"), compression_algorithm="gzip").as_numpy(output), facts["expected"]["words"])

matrix = np.ascontiguousarray(np.array(list(facts["rows"]["tensor"].values())).T)
tensor = client.get_model_metadata("tensor")
one = triton.InferInput(tensor.inputs[0].name, list(matrix.shape), "FP64")
one.set_data_from_numpy(matrix)
found = client.infer("tensor", [one])
np.testing.assert_array_equal(found.as_numpy(found.get_response().outputs[0].name), facts["expected"]["tensor"])

for wrong, status, said in (
    (lambda: client.infer("nothing", inputs("numbers")), "NOT_FOUND", "nothing"),
    (lambda: client.infer("numbers", inputs("numbers")[1:]), "INVALID_ARGUMENT", "required inputs are missing: 'x0'"),
    (
        lambda: client.infer("numbers", inputs("numbers"), outputs=[triton.InferRequestedOutput("other")]),
        "INVALID_ARGUMENT",
        "has no output 'other'",
    ),
    (lambda: client.get_model_config("numbers"), "UNIMPLEMENTED", ""),
):
    refused = None
    try:
        wrong()
    except InferenceServerException as error:
        refused = str(error)
    assert refused is not None, f"not refused: {said}"
    assert status in refused, refused
    assert said in refused, refused
