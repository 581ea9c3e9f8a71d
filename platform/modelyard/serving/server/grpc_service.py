"""V2 over gRPC: `inference.GRPCInferenceService` and gRPC's own health check."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc

import modelyard
from modelyard.serving.server import grpc_tensors, invocations
from modelyard.serving.server.errors import ModelFailed, NotReady, RequestError
from modelyard.serving.server.grpc_protocol import HEALTH_SERVICE, SERVICE, health_check, message, methods
from modelyard.serving.server.interface import Models, Question, ServedModel, TensorMetadata
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.predictions import new_id

log = logging.getLogger(__name__)
Recorder = Callable[[Any, Question, Output], None]
Observer = Callable[[ServedModel | None, RequestError | None, float], None]


class GrpcServer:
    """A running server.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more requests, and end once those in progress are answered.

        Args:
            grace: Seconds after which they are cut off.
        """
        await self._server.stop(grace)


class Service:
    """Answers each method.

    Args:
        models: Those there are.
        recorder: Told about each answered question; None: nobody is.
        observer: Told about each request to infer: by whom it was answered, what was wrong, and its seconds.
    """

    def __init__(self, models: Models, recorder: Recorder | None = None, observer: Observer | None = None) -> None:
        self._models = models
        self._recorder = recorder
        self._observer = observer

    async def server_live(self, request: Any, context: Any) -> Any:
        """The process answers."""
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, request: Any, context: Any) -> Any:
        """Everything that should be loaded is."""
        return message("ServerReadyResponse")(ready=self._models.is_ready)

    async def model_ready(self, request: Any, context: Any) -> Any:
        """Whether one model answers."""
        try:
            self._models.find(request.name, request.version)
        except NotReady:
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=True)

    async def server_metadata(self, request: Any, context: Any) -> Any:
        """Name and version."""
        return message("ServerMetadataResponse")(name="modelyard", version=modelyard.__version__)

    async def model_metadata(self, request: Any, context: Any) -> Any:
        """What goes in and comes out, and how it is served."""
        model = self._models.find(request.name, request.version)
        response = message("ModelMetadataResponse")(
            name=model.name, versions=self._models.versions(model.name), platform=model.platform
        )
        for one in model.input_metadata:
            _describe(response.inputs.add(), one)
        for one in model.output_metadata:
            _describe(response.outputs.add(), one)
        grpc_tensors.set_parameters(response.parameters, {"version": model.version, **model.facts})
        return response

    async def model_infer(self, request: Any, context: Any) -> Any:
        """A prediction."""
        began = time.perf_counter()
        model: ServedModel | None = None
        wrong: RequestError | None = None
        try:
            model = self._models.find(request.model_name, request.model_version)
            return await self._predicted(model, request, context)
        except RequestError as error:
            wrong = error
            raise
        finally:
            if self._observer is not None:
                self._observer(model, wrong, time.perf_counter() - began)

    async def _predicted(self, model: ServedModel, request: Any, context: Any) -> Any:
        inputs = model.inputs.from_tensors(grpc_tensors.input_tensors(request))
        given = grpc_tensors.parameters(request.parameters)
        params = invocations.params(model.signature.params, given) if model.signature.params else {}
        name = request.id or _id_in(context) or new_id()
        question = Question(inputs, params, name, context.peer())
        output = await model.ask(question)
        response = message("ModelInferResponse")(model_name=model.name, model_version=model.version, id=name)
        requested = [one.name for one in request.outputs]
        grpc_tensors.write(response, output, requested, model, raw=grpc_tensors.is_raw(request))
        if self._recorder is not None:
            self._recorder(model, question, output)
        return response

    async def check(self, request: Any, context: Any) -> Any:
        """gRPC's health check, of the server or of one model."""
        if request.service not in ("", SERVICE):
            self._models.find(request.service)
        return health_check()[1](status=1 if self._models.is_ready else 2)


async def start(
    models: Models,
    address: str,
    *,
    max_message_bytes: int,
    recorder: Recorder | None = None,
    observer: Observer | None = None,
) -> GrpcServer:
    """Listen.

    Args:
        models: Those there are.
        address: Host and port; port 0: any that is free.
        max_message_bytes: Of a request; larger ones are answered with RESOURCE_EXHAUSTED.
        recorder: Told about each answered question, for the payload log; None: nobody is.
        observer: Told about each request to infer, for metrics: by whom it was answered (None: by no model), what was
            wrong (None: nothing), and its seconds.

    Raises:
        RuntimeError: the address can't be had.
    """
    service = Service(models, recorder, observer)
    options = [("grpc.max_receive_message_length", max_message_bytes), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=options)
    answers = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ModelReady": service.model_ready,
        "ServerMetadata": service.server_metadata,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
    }
    handlers = {name: _handler(answers[name], *classes) for name, classes in methods().items()}
    health = {"Check": _handler(service.check, *health_check())}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, handlers),
            grpc.method_handlers_generic_handler(HEALTH_SERVICE, health),
        )
    )
    port = server.add_insecure_port(address)
    await server.start()
    return GrpcServer(server, port)


def _handler(answer: Callable[[Any, Any], Awaitable[Any]], request: Any, response: Any) -> Any:
    async def answered(asked: Any, context: Any) -> Any:
        try:
            return await answer(asked, context)
        except RequestError as error:
            wrong = error
        except Exception as error:
            log.exception("a gRPC request failed")
            wrong = ModelFailed(f"this is a mistake of the server, not of the request: {type(error).__name__}")
        if wrong.retry_after is not None:
            context.set_trailing_metadata((("retry-after", str(wrong.retry_after)),))
        await context.abort(grpc.StatusCode[wrong.grpc], str(wrong))
        raise AssertionError("unreachable: abort raises")

    return grpc.unary_unary_rpc_method_handler(
        answered, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )


def _id_in(context: Any) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id":
            return cast("str", value)
    return ""


def _describe(target: Any, one: TensorMetadata) -> None:
    target.name, target.datatype = one.name, one.datatype
    target.shape.extend(one.shape)
    grpc_tensors.set_parameters(target.parameters, one.parameters)
