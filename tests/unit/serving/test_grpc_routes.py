"""V2 over gRPC through a real Envoy, in front of stand-ins for replicas."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from modelyard.processes.ports import any_free_port
from modelyard.serving.clusters import Endpoint, VersionEndpoints
from modelyard.serving.router import Router
from modelyard.serving.routes import ModelRoute
from modelyard.serving.settings import RouterSettings, TlsSettings
from tests.support.credentials import certificate
from tests.unit.serving.conftest import running

SERVICE = "inference.GRPCInferenceService"
INFER, LIVE = f"/{SERVICE}/ModelInfer", f"/{SERVICE}/ServerLive"
BIKE, LINE = (("x-modelyard-model", "bike"),), (("x-modelyard-model", "two words"),)


class GrpcUpstream:
    """A stand-in for a replica: answers every call with its port, after `fails` calls that it says it can't take."""

    def __init__(self):
        self.metadata, self.fails = {}, 0
        self.hold, self.asked = None, threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        self.asked.set()
        if self.hold is not None:
            self.hold.wait(5)
        if self.fails:
            self.fails -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "leaving")
        return str(self.port).encode()

    def close(self):
        self._server.stop(0).wait()


@pytest.fixture
def replicas():
    made = [GrpcUpstream(), GrpcUpstream()]
    yield made
    for upstream in made:
        upstream.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    port = any_free_port()
    folder = tmp_path_factory.mktemp("grpc")
    return RouterSettings(
        port=port,
        admin_port=any_free_port({port}),
        folder=folder,
        grpc=True,
        max_request_mib=1,
        request_timeout_seconds=1,
    )


@pytest.fixture(scope="module")
def router(settings):
    with running(settings) as router:
        yield router


@pytest.fixture
def channel(settings):
    with grpc.insecure_channel(f"127.0.0.1:{settings.port}") as channel:
        yield channel


def ask(channel, method=INFER, metadata=(), message=b"question"):
    """What a call is answered, and the version that answered."""
    answer, call = channel.unary_unary(method).with_call(message, metadata=metadata, timeout=10)
    return int(answer), dict(call.initial_metadata()).get("x-modelyard-version")


def refused(channel, method=INFER, metadata=(), message=b"question"):
    with pytest.raises(grpc.RpcError) as error:
        ask(channel, method, metadata, message)
    return error.value.code(), error.value.details()


def version(model, number, *upstreams, draining=False):
    return VersionEndpoints(model, number, tuple(Endpoint(1, draining, one.port) for one in upstreams))


@pytest.fixture
def two_models(router, replicas):
    versions = [version("bike", 1, replicas[0]), version("two words", 7, replicas[1])]
    router.publish(versions, [ModelRoute("bike", ((1, 100),)), ModelRoute("two words", ((7, 100),))])
    return replicas


def test_with_nothing_deployed_calls_are_unavailable_and_say_what_to_do(router, channel):
    router.publish((), ())
    code, details = refused(channel)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "modelyard deploy" in details


def test_the_only_model_needs_no_name(router, replicas, channel):
    router.publish([version("bike", 3, replicas[0])], [ModelRoute("bike", ((3, 100),))])
    assert ask(channel) == (replicas[0].port, "3")


@pytest.mark.parametrize(("metadata", "index", "number"), [(BIKE, 0, "1"), (LINE, 1, "7")])
def test_metadata_says_which_model(two_models, channel, metadata, index, number):
    assert ask(channel, metadata=metadata) == (two_models[index].port, number)


def test_without_a_name_the_choices_are_named(two_models, channel):
    code, details = refused(channel)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "x-modelyard-model" in details
    assert "bike, two words" in details


def test_an_unknown_model_is_not_found(two_models, channel):
    code, details = refused(channel, metadata=(("x-modelyard-model", "bikes"),))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "bike, two words" in details


@pytest.mark.parametrize("method", ["ServerLive", "ServerReady", "ServerMetadata"])
def test_what_is_asked_of_the_server_any_model_answers(two_models, channel, method):
    assert ask(channel, f"/{SERVICE}/{method}")[0] in {one.port for one in two_models}


@pytest.mark.parametrize("method", ["/inference.Other/ModelInfer", "/grpc.health.v1.Health/Check", "/x"])
def test_other_services_are_not_passed_on(two_models, channel, method):
    assert refused(channel, method, BIKE)[0] is grpc.StatusCode.UNIMPLEMENTED
    assert not any(one.asked.is_set() for one in two_models)


def test_a_model_that_is_not_ready_says_why(router, channel):
    router.publish([VersionEndpoints("bike", 1)], [ModelRoute("bike", (), "version 1 is starting")])
    code, details = refused(channel)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "version 1 is starting" in details


def test_a_message_over_the_limit_is_refused(two_models, channel):
    code, details = refused(channel, metadata=BIKE, message=b"x" * (1024 * 1024 + 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1 MiB" in details


def test_an_answer_that_takes_too_long_is_a_deadline(two_models, channel):
    two_models[0].hold = threading.Event()
    code, details = refused(channel, metadata=BIKE)
    two_models[0].hold.set()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "within 1 s" in details


def test_a_replica_that_is_leaving_costs_no_call(router, replicas, channel):
    router.publish([version("bike", 1, *replicas)], [ModelRoute("bike", ((1, 100),))])
    replicas[0].fails = 5
    assert {ask(channel)[1] for _ in range(20)} == {"1"}
    assert replicas[0].fails < 5


def test_weights_share_the_calls(router, replicas, channel):
    router.publish(
        [version("bike", one, replicas[one - 1]) for one in (1, 2)], [ModelRoute("bike", ((1, 70), (2, 30)))]
    )
    seen = Counter(ask(channel)[1] for _ in range(300))
    assert 40 <= seen["2"] <= 140


def test_a_draining_replica_finishes_its_call_and_gets_no_other(router, replicas, channel):
    slow, other = replicas
    slow.hold = threading.Event()
    router.publish([version("bike", 1, slow)], [ModelRoute("bike", ((1, 100),))])
    answer = channel.unary_unary(INFER).future(b"question", timeout=10)
    assert slow.asked.wait(5)
    endpoints = (Endpoint(1, True, slow.port), Endpoint(2, False, other.port))
    router.publish([VersionEndpoints("bike", 1, endpoints)], [ModelRoute("bike", ((1, 100),))])
    assert router.active_requests()[slow.port] == 1
    assert {ask(channel)[0] for _ in range(10)} == {other.port}
    slow.hold.set()
    assert int(answer.result()) == slow.port


def test_figures_carry_model_version_and_protocol(two_models, channel, settings):
    ask(channel, metadata=LINE)
    text = httpx.get(f"http://127.0.0.1:{settings.admin_port}/stats/prometheus", trust_env=False).text
    assert 'envoy_cluster_upstream_rq_total{model="two words",version="7",protocol="grpc"}' in text
    assert 'envoy_cluster_upstream_rq_total{model="two words",version="7"}' in text


def test_files_of_versions_that_are_gone_are_deleted(two_models, router, settings):
    router.publish((), ())
    assert list((settings.folder / "endpoints").iterdir()) == []


def test_a_replica_without_a_grpc_port_gets_no_calls(router, replicas, channel):
    old = VersionEndpoints("bike", 1, (Endpoint(replicas[0].port),))
    router.publish([old], [ModelRoute("bike", ((1, 100),))])
    assert refused(channel)[0] is grpc.StatusCode.UNAVAILABLE


def test_without_grpc_there_is_nothing_of_it(tmp_path, replicas):
    settings = RouterSettings(port=1, admin_port=2, folder=tmp_path)
    Router(settings).publish([version("bike", 1, replicas[0])], [ModelRoute("bike", ((1, 100),))])
    assert "GRPC" not in (tmp_path / "routes.json").read_text()
    assert "/grpc" not in (tmp_path / "clusters.json").read_text()
    assert [path.name for path in (tmp_path / "endpoints").iterdir()] == ["bike-v1.json"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A router with TLS that asks for keys: itself, and a channel that trusts its certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    chain, private = certificate(folder)
    (folder / "alice").write_text("the-key-of-alice\n")
    port = any_free_port()
    settings = RouterSettings(
        port=port,
        admin_port=any_free_port({port}),
        folder=folder / "envoy",
        grpc=True,
        tls=TlsSettings(certificate_file=chain, private_key_file=private),
        api_keys={"alice": folder / "alice"},
    )
    trust = grpc.ssl_channel_credentials(chain.read_bytes())
    with running(settings) as router, grpc.secure_channel(f"127.0.0.1:{port}", trust) as channel:
        yield router, channel


@pytest.mark.parametrize("metadata", [(), (("x-api-key", "the-key-of-bob"),), BIKE])
def test_without_a_valid_key_a_call_is_unauthenticated(guarded, metadata):
    guarded[0].publish((), ())
    code, details = refused(guarded[1], metadata=metadata)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "x-api-key: KEY" in details


@pytest.mark.parametrize("key", [("x-api-key", "the-key-of-alice"), ("authorization", "Bearer the-key-of-alice")])
def test_a_valid_key_opens_and_is_kept_from_the_model_server(guarded, replicas, key):
    router, channel = guarded
    router.publish([version("bike", 1, replicas[0])], [ModelRoute("bike", ((1, 100),))])
    assert ask(channel, metadata=(key, ("x-modelyard-client", "bob"))) == (replicas[0].port, "1")
    assert replicas[0].metadata["x-modelyard-client"] == "alice"
    assert "the-key-of-alice" not in str(replicas[0].metadata)
