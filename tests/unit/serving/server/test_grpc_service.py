"""V2 over gRPC, asked by a real client over a real connection."""

import asyncio

import grpc
import numpy as np
import pytest

from modelyard.serving.server import grpc_service
from modelyard.serving.server.columns import objects
from modelyard.serving.server.errors import Overloaded
from modelyard.serving.server.grpc_protocol import HEALTH_SERVICE, SERVICE, health_check, message, methods
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import raw_array, raw_bytes
from tests.support.fake_models import FakeModel, FakeModels, half

LIMIT = 100_000


class Failed(Exception):
    pass


def ask(models, method, request, *, metadata=(), service=SERVICE, **options):
    """The response to one request; Failed with (code, message) if there is none."""

    async def asked():
        server = await grpc_service.start(models, "127.0.0.1:0", max_message_bytes=LIMIT, **options)
        classes = health_check() if service == HEALTH_SERVICE else methods()[method]
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                call = channel.unary_unary(
                    f"/{service}/{method}",
                    request_serializer=classes[0].SerializeToString,
                    response_deserializer=classes[1].FromString,
                )
                return await call(request, metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            raise Failed(error.code().name, error.details(), dict(error.trailing_metadata())) from None
        finally:
            await server.stop(1)

    return asyncio.run(asked())


def typed(**changes):
    request = message("ModelInferRequest")(model_name="demo", id="first")
    x = request.inputs.add(name="x", datatype="FP64", shape=[2])
    x.contents.fp64_contents.extend([1.5, -2])
    n = request.inputs.add(name="n", datatype="INT64", shape=[2])
    n.contents.int64_contents.extend([7, -(2**60)])
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def raw():
    request = message("ModelInferRequest")(model_name="demo")
    tensors = {"x": np.array([1.5, -2]), "n": np.array([7, 8]), "word": objects(["é", "b"])}
    for (name, array), datatype in zip(tensors.items(), ["FP64", "INT64", "BYTES"], strict=True):
        request.inputs.add(name=name, datatype=datatype, shape=[2])
        request.raw_input_contents.append(raw_bytes(array))
    return request


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def models(model):
    return FakeModels(model)


def test_typed_contents_are_answered_with_typed_contents(models):
    found = ask(models, "ModelInfer", typed())
    assert (found.model_name, found.model_version, found.id) == ("demo", "3", "first")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.outputs] == [
        ("twice", "FP64", [2]),
        ("n", "INT64", [2]),
        ("loud", "BYTES", [2]),
    ]
    assert list(found.outputs[0].contents.fp64_contents) == [3, -4]
    assert list(found.outputs[1].contents.int64_contents) == [7, -(2**60)]
    assert list(found.outputs[2].contents.bytes_contents) == [b"", b""]
    assert found.outputs[2].parameters["content_type"].string_param == "str"
    assert not found.raw_output_contents


def test_raw_contents_are_answered_with_raw_contents(models):
    found = ask(models, "ModelInfer", raw())
    assert not found.outputs[0].HasField("contents")
    twice, n, loud = found.raw_output_contents
    assert raw_array("", "FP64", twice).tolist() == [3, -4]
    assert raw_array("", "INT64", n).tolist() == [7, 8]
    assert raw_array("", "BYTES", loud).tolist() == ["É".encode(), b"B"]


def test_outputs_come_in_the_order_and_form_asked_for(models):
    request = typed()
    request.outputs.add(name="n").parameters["binary_data"].bool_param = True
    request.outputs.add(name="twice")
    found = ask(models, "ModelInfer", request)
    assert [one.name for one in found.outputs] == ["n", "twice"]
    assert len(found.raw_output_contents) == 2


def test_raw_inputs_are_answered_typed_if_asked_for(models):
    request = raw()
    request.outputs.add(name="n").parameters["binary_data"].bool_param = False
    assert list(ask(models, "ModelInfer", request).outputs[0].contents.int64_contents) == [7, 8]


def test_fp16_is_raw_whatever_was_asked_for():
    found = ask(FakeModels(FakeModel(answer=half)), "ModelInfer", typed())
    assert raw_array("", "FP16", found.raw_output_contents[0]).tolist() == [0.75, -1]


def test_parameters_of_the_signature_reach_the_model(models, model):
    request = typed()
    request.parameters["factor"].int64_param = 10
    request.parameters["unknown"].string_param = "ignored"
    assert list(ask(models, "ModelInfer", request).outputs[0].contents.fp64_contents) == [30, -40]
    assert model.asked[0].params == {"factor": 10.0}


@pytest.mark.parametrize(
    ("given", "metadata", "expected"),
    [("mine", [("x-request-id", "other")], "mine"), ("", [("x-request-id", "other")], "other")],
)
def test_the_request_id_is_the_messages_or_the_metadatas(models, model, given, metadata, expected):
    assert ask(models, "ModelInfer", typed(id=given), metadata=metadata).id == expected
    assert model.asked[0].request_id == expected


def test_a_request_without_an_id_gets_one(models):
    assert ask(models, "ModelInfer", typed(id="")).id


def breaking(change):
    request = typed()
    change(request)
    return request


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.inputs.pop(), "required inputs are missing: 'n'"),
        (lambda r: setattr(r.inputs[0], "name", "y"), "the model has no input 'y'"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP99"), "datatype 'FP99' is none of"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP16"), "FP16 has no typed contents"),
        (
            lambda r: setattr(r.inputs[0], "datatype", "FP32"),
            "FP32 belongs into fp32_contents, not into 'fp64_contents'",
        ),
        (lambda r: r.inputs[0].shape.append(5), "shape [2, 5] has 10 values, data has 2"),
        (lambda r: r.inputs[0].shape.__setitem__(0, -2), "that aren't negative"),
        (lambda r: r.raw_input_contents.append(b""), "there are 2 inputs, but 1 raw_input_contents"),
        (lambda r: r.raw_input_contents.extend([b"", b""]), "has both contents and raw_input_contents"),
        (lambda r: r.ClearField("inputs"), "the request has no inputs"),
        (lambda r: r.outputs.add(name="twise"), "has no output 'twise' (did you mean 'twice'?)"),
        (lambda r: r.parameters["factor"].__setattr__("string_param", "1"), "param 'factor': '1' is not a number"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(models, change, message):
    with pytest.raises(Failed) as failed:
        ask(models, "ModelInfer", breaking(change))
    assert failed.value.args[0] == "INVALID_ARGUMENT"
    assert message in failed.value.args[1]


def test_an_int8_that_is_none_is_refused(models):
    request = typed()
    request.inputs[1].datatype = "INT8"
    request.inputs[1].contents.ClearField("int64_contents")
    request.inputs[1].contents.int_contents.extend([1, 128])
    with pytest.raises(Failed, match="value 1 is 128, which doesn't fit into int8"):
        ask(models, "ModelInfer", request)


def test_missing_strings_are_refused_rather_than_sent_as_text():
    answer = lambda question: Output("array", {"output-0": objects(["a", None])})  # noqa: E731
    with pytest.raises(Failed, match="missing values, which binary data can't hold"):
        ask(FakeModels(FakeModel(answer=answer)), "ModelInfer", typed())


def test_errors_have_their_code_and_say_when_to_try_again():
    def answer(question):
        raise Overloaded("too much to do", retry_after=2)

    with pytest.raises(Failed) as failed:
        ask(FakeModels(FakeModel(answer=answer)), "ModelInfer", typed())
    code, text, metadata = failed.value.args
    assert (code, text, metadata["retry-after"]) == ("RESOURCE_EXHAUSTED", "too much to do", "2")


def test_a_mistake_of_ours_is_internal_and_shows_no_details():
    def answer(question):
        raise KeyError("secret")

    with pytest.raises(Failed) as failed:
        ask(FakeModels(FakeModel(answer=answer)), "ModelInfer", typed())
    assert failed.value.args[0] == "INTERNAL"
    assert "secret" not in failed.value.args[1]


def test_unknown_models_are_not_found_and_loading_ones_unavailable(models):
    with pytest.raises(Failed, match="NOT_FOUND"):
        ask(models, "ModelInfer", typed(model_name="demmo"))
    with pytest.raises(Failed, match="NOT_FOUND"):
        ask(models, "ModelInfer", typed(model_version="4"))
    with pytest.raises(Failed, match="UNAVAILABLE"):
        ask(FakeModels(loading=["demo"]), "ModelInfer", typed())


def test_messages_over_the_limit_are_refused(models):
    with pytest.raises(Failed, match="RESOURCE_EXHAUSTED"):
        ask(models, "ModelInfer", typed(id="x" * LIMIT))


def test_health_and_readiness(models):
    assert ask(models, "ServerLive", message("ServerLiveRequest")()).live
    assert ask(models, "ServerReady", message("ServerReadyRequest")()).ready
    assert ask(models, "ModelReady", message("ModelReadyRequest")(name="demo")).ready
    loading = FakeModels(loading=["demo"])
    assert not ask(loading, "ServerReady", message("ServerReadyRequest")()).ready
    assert not ask(loading, "ModelReady", message("ModelReadyRequest")(name="demo")).ready
    with pytest.raises(Failed, match="NOT_FOUND"):
        ask(models, "ModelReady", message("ModelReadyRequest")(name="other"))


def test_grpcs_own_health_check(models):
    request = health_check()[0]
    assert ask(models, "Check", request(), service=HEALTH_SERVICE).status == 1
    assert ask(models, "Check", request(service="demo"), service=HEALTH_SERVICE).status == 1
    assert ask(FakeModels(loading=["demo"]), "Check", request(), service=HEALTH_SERVICE).status == 2
    with pytest.raises(Failed, match="NOT_FOUND"):
        ask(models, "Check", request(service="other"), service=HEALTH_SERVICE)


def test_metadata(models):
    assert ask(models, "ServerMetadata", message("ServerMetadataRequest")()).name == "modelyard"
    found = ask(models, "ModelMetadata", message("ModelMetadataRequest")(name="demo"))
    assert (found.name, list(found.versions), found.platform) == ("demo", ["3"], "mlflow_sklearn")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("x", "FP64", [-1]),
        ("n", "INT64", [-1]),
        ("word", "BYTES", [-1]),
    ]
    assert found.inputs[2].parameters["optional"].bool_param
    assert found.parameters["version"].string_param == "3"


def test_answers_are_recorded_and_observed(models, model):
    recorded, observed = [], []
    options = {"recorder": lambda *seen: recorded.append(seen), "observer": lambda *seen: observed.append(seen)}
    ask(models, "ModelInfer", typed(), **options)
    with pytest.raises(Failed):
        ask(models, "ModelInfer", breaking(lambda r: r.inputs.pop()), **options)
    assert [(one, question.request_id) for one, question, _ in recorded] == [(model, "first")]
    assert [(one, type(wrong).__name__) for one, wrong, _ in observed] == [(model, "NoneType"), (model, "RequestError")]
