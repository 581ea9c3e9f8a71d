"""MLServer's codecs over HTTP. Run as: mlserver_http.py FACTS."""

import json
import sys
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, RequestOutput

facts = json.loads(Path(sys.argv[1]).read_text())
client = httpx.Client(base_url=f"http://{facts['http']}", timeout=30)


def infer(model, request):
    body = request.model_dump_json(exclude_none=True)
    response = client.post(f"/v2/models/{model}/infer", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    return InferenceResponse.model_validate_json(response.content)


def decoded(response):
    """The first output, as its content type says; numbers without one are NumPy's."""
    one = response.outputs[0]
    kind = one.parameters.content_type if one.parameters else None
    return StringCodec.decode_output(one) if kind == "str" else NumpyCodec.decode_output(one).ravel().tolist()


for model in ("numbers", "words"):
    frame, expected = pd.DataFrame(facts["rows"][model]), facts["expected"][model]
    words = frame.select_dtypes(exclude="number").columns
    frame[words] = frame[words].astype(object)  # its codec knows no other strings
    for use_bytes in (True, False):
        request = PandasCodec.encode_request(frame, use_bytes=use_bytes)
        response = infer(model, request)
        assert decoded(response) == expected, response
        assert PandasCodec.decode_response(response).iloc[:, 0].tolist() == expected
    request.id = "mine"
    request.outputs = [RequestOutput(name=response.outputs[0].name)]
    assert infer(model, request).id == "mine"

metadata = MetadataModelResponse.model_validate_json(client.get("/v2/models/words").content)
assert [one.name for one in metadata.inputs] == list(facts["rows"]["words"])

matrix = np.array(list(facts["rows"]["tensor"].values())).T
request = NumpyRequestCodec.encode_request(matrix)
np.testing.assert_array_equal(NumpyRequestCodec.decode_response(infer("tensor", request)), facts["expected"]["tensor"])

columns = facts["rows"]["words"]
by_hand = [
    StringCodec.encode_input(name, values) if name == "weather" else NumpyCodec.encode_input(name, np.array(values))
    for name, values in columns.items()
]
assert decoded(infer("words", InferenceRequest(inputs=by_hand))) == facts["expected"]["words"]
