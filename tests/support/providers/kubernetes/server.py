"""Pulumi's provider protocol: the engine's calls in, Resources' answers out."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from tests.support.providers.kubernetes import configuration, values
from tests.support.providers.kubernetes.api import ApiClient
from tests.support.providers.kubernetes.changes import Change, Difference, parsed_path, property_path
from tests.support.providers.kubernetes.cluster import Cluster
from tests.support.providers.kubernetes.errors import ProviderError, Unsupported
from tests.support.providers.kubernetes.kubeconfig import connection
from tests.support.providers.kubernetes.resources import Resources
from tests.support.providers.kubernetes.state import InitFailed, Options, Resource, State

_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_KINDS = {
    Change.ADD: (provider_pb2.PropertyDiff.ADD, provider_pb2.PropertyDiff.ADD_REPLACE),
    Change.DELETE: (provider_pb2.PropertyDiff.DELETE, provider_pb2.PropertyDiff.DELETE_REPLACE),
    Change.UPDATE: (provider_pb2.PropertyDiff.UPDATE, provider_pb2.PropertyDiff.UPDATE_REPLACE),
}


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The calls that the engine makes of a resource provider."""

    def __init__(self, engine: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._client: ApiClient | None = None
        self._configuration: dict[str, Any] = {}
        self._resources = Resources(Cluster(self._api, Options(), self._cancelled))

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=version("pulumi-kubernetes"))  # else the engine warns at every step

    def CheckConfig(self, request: Any, context: Any) -> Any:
        wrong = configuration.wrong(values.read(request.news).value)
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(wrong))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = (values.read(message).value for message in (request.old_inputs or request.olds, request.news))
        return _diff_response(configuration.difference(old, new))

    def Configure(self, request: Any, context: Any) -> Any:
        self._configuration = configuration.unpacked(values.read(request.args).value)
        options = configuration.options(self._configuration)
        self._resources = Resources(Cluster(self._api, options, self._cancelled))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        with _told(context):
            inputs, wrong = self._resources.check(self._resource(request), values.read(request.news))
            return provider_pb2.CheckResponse(inputs=values.write(inputs), failures=_failures(wrong))

    def Diff(self, request: Any, context: Any) -> Any:
        with _told(context):
            old = State(request.id, values.read(request.olds), values.read(request.old_inputs))
            ignored = map(parsed_path, request.ignoreChanges)
            return _diff_response(
                self._resources.diff(self._resource(request), old, values.read(request.news), ignored)
            )

    def Create(self, request: Any, context: Any) -> Any:
        with _told(context):
            inputs = values.read(request.properties)
            made = self._resources.create(
                self._resource(request), inputs, seconds=request.timeout, preview=request.preview
            )
            return provider_pb2.CreateResponse(id=made.id, properties=values.write(made.outputs))

    def Read(self, request: Any, context: Any) -> Any:
        with _told(context):
            old = State(request.id, values.read(request.properties), values.read(request.inputs))
            found = self._resources.read(self._resource(request), old)
            if found is None:
                return provider_pb2.ReadResponse()
            properties, inputs = values.write(found.outputs), values.write(found.inputs)
            return provider_pb2.ReadResponse(id=found.id, properties=properties, inputs=inputs)

    def Update(self, request: Any, context: Any) -> Any:
        with _told(context):
            changed = self._resources.update(
                self._resource(request),
                State(request.id, values.read(request.olds), values.read(request.old_inputs)),
                values.read(request.news),
                ignored=[parsed_path(path) for path in request.ignoreChanges],
                seconds=request.timeout,
                preview=request.preview,
            )
            return provider_pb2.UpdateResponse(properties=values.write(changed.outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        with _told(context):
            old = State(request.id, values.read(request.properties), values.read(request.old_inputs))
            self._resources.delete(self._resource(request), old, seconds=request.timeout)
            return Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        _refuse(context, request.tok)

    def Call(self, request: Any, context: Any) -> Any:
        _refuse(context, request.tok)

    def Construct(self, request: Any, context: Any) -> Any:
        _refuse(context, request.type)

    def Parameterize(self, request: Any, context: Any) -> Any:
        _refuse(context, "packages made from parameters")

    def _api(self) -> ApiClient:
        """The API server; looked for only now, since a preview may come before there is one."""
        with self._lock:
            if self._client is None:
                asked = self._configuration
                found = connection(asked.get("kubeconfig") or None, asked.get("context") or None)
                self._client = ApiClient(found, self._cancelled)
            return self._client

    def _resource(self, request: Any) -> Resource:
        def tell(line: str) -> None:
            message = {"severity": engine_pb2.INFO, "message": line, "urn": request.urn, "ephemeral": True}
            with suppress(grpc.RpcError):
                if self._engine:
                    self._engine.Log(engine_pb2.LogRequest(**message))

        return Resource(request.urn, request.type or request.urn.split("::")[2].rpartition("$")[2], tell)


@dataclass(frozen=True)
class _Ending:
    """How a call ends that has more to say than a code and a message; gRPC's Status by its members."""

    code: Any
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


@contextmanager
def _told(context: Any) -> Iterator[None]:
    """End the call with the error's message, and with the object's state where it was made and isn't ready."""
    try:
        yield
    except InitFailed as error:
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.state.id,
            properties=values.write(error.state.outputs),
            inputs=values.write(error.state.inputs),
            reasons=error.reasons,
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
        status.details.add().Pack(detail)
        metadata = (("grpc-status-details-bin", status.SerializeToString()),)
        context.abort_with_status(_Ending(grpc.StatusCode.UNKNOWN, status.message, metadata))
    except ProviderError as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _refuse(context: Any, what: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, str(Unsupported(what)))
    raise AssertionError("abort raises")


def _failures(wrong: dict[str, str]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in wrong.items()]


def _diff_response(found: Difference) -> Any:
    details = {
        property_path(path): provider_pb2.PropertyDiff(kind=_KINDS[change][path in found.replaces])
        for path, change in found.changes.items()
    }
    some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some if details else none,
        diffs=sorted({str(path[0]) for path in found.changes}),
        replaces=sorted(map(property_path, found.replaces)),
        deleteBeforeReplace=found.delete_first,
        detailedDiff=details,
        hasDetailedDiff=True,
    )


def main() -> None:
    parent = os.getppid()
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=_NO_LIMIT)  # a thread waits for each resource
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(sys.argv[-1] if sys.argv[1:] else ""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(port, flush=True)
    while os.getppid() == parent and not stop.wait(1):
        pass
    os._exit(0)  # nothing to save; taking gRPC down in order would only take time
