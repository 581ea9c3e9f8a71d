"""The provider as a program, without an API server."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.support import providers

EXECUTABLE = Path(providers.__file__).parent / "bin" / "pulumi-resource-kubernetes"
URN = "urn:pulumi:test::yard::kubernetes:core/v1:ConfigMap::one"


@dataclass
class Running:
    process: subprocess.Popen[str]
    calls: provider_pb2_grpc.ResourceProviderStub


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Running]:
    """The provider, started as the engine starts it, in an environment and a folder that are no help."""
    (tmp_path / "tests.py").write_text("raise SystemExit('the wrong module')")
    pipe = subprocess.PIPE
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [str(EXECUTABLE), "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout
        with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
            yield Running(process, provider_pb2_grpc.ResourceProviderStub(channel))
        process.kill()


def struct(**values: object) -> Struct:
    message = Struct()
    message.update(values)
    return message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(provider: Running, number: signal.Signals) -> None:
    provider.process.send_signal(number)
    assert provider.process.wait(timeout=5) == 0
    assert provider.process.stderr
    assert provider.process.stderr.read() == ""


def test_secrets_and_previews_are_understood(provider: Running) -> None:
    answer = provider.calls.Configure(provider_pb2.ConfigureRequest(args=struct(kubeconfig="/nowhere")))
    assert (answer.acceptSecrets, answer.supportsPreview) == (True, True)


def test_a_missing_kubeconfig_is_an_error_of_the_first_operation(provider: Running) -> None:
    provider.calls.Configure(provider_pb2.ConfigureRequest(args=struct(kubeconfig="/nowhere")))
    properties = struct(apiVersion="v1", kind="ConfigMap", metadata={"name": "one"})
    request = provider_pb2.CreateRequest(urn=URN, properties=properties, preview=True)
    with pytest.raises(grpc.RpcError, match="there is no kubeconfig /nowhere"):
        provider.calls.Create(request)


def test_a_name_must_be_given(provider: Running) -> None:
    answer = provider.calls.Check(provider_pb2.CheckRequest(urn=URN, news=struct(metadata={"labels": {}})))
    assert [failure.property for failure in answer.failures] == ["metadata.name"]


@pytest.mark.parametrize("kind", ["core/v1:ConfigMapPatch", "core/v1:ConfigMapList", "yaml:ConfigGroup"])
def test_kinds_that_are_no_single_objects_are_refused_by_name(provider: Running, kind: str) -> None:
    urn = f"urn:pulumi:test::yard::kubernetes:{kind}::one"
    with pytest.raises(grpc.RpcError, match=f"tests, and it can't do kubernetes:{kind}"):
        provider.calls.Check(provider_pb2.CheckRequest(urn=urn, news=struct(metadata={"name": "one"})))


def test_functions_are_refused_by_name(provider: Running) -> None:
    with pytest.raises(grpc.RpcError, match="it can't do kubernetes:yaml:decode"):
        provider.calls.Invoke(provider_pb2.InvokeRequest(tok="kubernetes:yaml:decode"))


def test_configuration_that_it_cannot_follow_is_refused(provider: Running) -> None:
    news = struct(enableServerSideApply="false", renderYamlToDirectory="out", namespace="work")
    answer = provider.calls.CheckConfig(provider_pb2.CheckRequest(news=news))
    assert sorted(failure.property for failure in answer.failures) == ["enableServerSideApply", "renderYamlToDirectory"]


def test_another_api_server_asks_for_all_resources_anew(provider: Running, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).write_text(
            f"clusters: [{{name: a, cluster: {{server: https://{name}}}}}]\n"
            "contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
        )
    olds, news = struct(kubeconfig=str(tmp_path / "here")), struct(kubeconfig=str(tmp_path / "there"))
    answer = provider.calls.DiffConfig(provider_pb2.DiffRequest(olds=olds, old_inputs=olds, news=news))
    assert answer.replaces == ["kubeconfig"]
