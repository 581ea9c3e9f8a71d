"""MLServer's gRPC stub and converters. Run as: mlserver_grpc.py FACTS."""

import json
import sys
from pathlib import Path

import grpc
import pandas as pd
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.grpc import converters
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

facts = json.loads(Path(sys.argv[1]).read_text())
stub = GRPCInferenceServiceStub(grpc.insecure_channel(facts["grpc"]))

assert stub.ServerLive(pb.ServerLiveRequest()).live
assert stub.ServerReady(pb.ServerReadyRequest()).ready
assert stub.ModelReady(pb.ModelReadyRequest(name="numbers", version="1")).ready
assert converters.ServerMetadataResponseConverter.to_types(stub.ServerMetadata(pb.ServerMetadataRequest())).name
metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="words"))
assert [one.name for one in metadata.inputs] == list(facts["rows"]["words"])
assert metadata.parameters["flavor"].string_param == "sklearn"

for model in ("numbers", "words"):
    frame, expected = pd.DataFrame(facts["rows"][model]), facts["expected"][model]
    words = frame.select_dtypes(exclude="number").columns
    frame[words] = frame[words].astype(object)  # its codec knows no other strings
    request = PandasCodec.encode_request(frame)
    request.id = "mine"
    for use_raw in (False, True):
        message = converters.ModelInferRequestConverter.from_types(
            request, model_name=model, model_version="1", use_raw=use_raw
        )
        answer = stub.ModelInfer(message, timeout=30)
        assert bool(answer.raw_output_contents) == use_raw
        response = converters.ModelInferResponseConverter.to_types(answer)
        assert (response.id, response.model_name, response.model_version) == ("mine", model, "1")
        codec = StringCodec if model == "words" else NumpyCodec
        found = codec.decode_output(response.outputs[0])
        found = found if isinstance(found, list) else found.ravel().tolist()
        assert found == expected, response

code = None
try:
    stub.ModelInfer(pb.ModelInferRequest(model_name="nothing"))
except grpc.RpcError as error:
    code = error.code()
assert code is grpc.StatusCode.NOT_FOUND, code
