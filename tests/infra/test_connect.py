"""A platform that was made from another machine, as this one learns of it: on a real API server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from modelyard import descriptor
from modelyard.cli import app
from modelyard.errors import ModelyardError
from modelyard.kube import connect, kubeconfig
from modelyard_infra.commands import stack as commands
from tests.infra.conftest import Registered
from tests.support.api_server import ApiServer

URL = "https://mlflow.ml.test"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody who has made no platform."""
    home = tmp_path / "home"
    monkeypatch.setenv("MODELYARD_HOME", str(home))
    return home


@pytest.fixture
def client(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api_server.client() as client:
        yield client


@pytest.fixture
def publish(client: httpx.Client) -> Iterator[Callable[..., str]]:
    """Has a new namespace say what a platform's says; returns its name."""
    made = []

    def run(**changes: object) -> str:
        document = {"schema_version": 1, "stack": "team", "protect": True, "folder": "/theirs", **changes}
        document |= {"cluster": {"kubeconfig": "/theirs/kubeconfig", "namespace": "whatever"}}
        document |= {"tracking_server": {"kind": "kubernetes", "url": URL}}
        namespace = client.post("/api/v1/namespaces", json={"metadata": {"generateName": "team-"}}).json()
        made.append(namespace["metadata"]["name"])
        data = {connect.KEY: connect.published(document)}
        body = {"metadata": {"name": connect.CONFIG_MAP}, "data": data}
        client.post(f"/api/v1/namespaces/{made[-1]}/configmaps", json=body).raise_for_status()
        return str(made[-1])

    yield run
    for name in made:
        client.delete(f"/api/v1/namespaces/{name}")


def learn(api_server: ApiServer, namespace: str) -> descriptor.Descriptor:
    return connect.learn(kubeconfig.place(api_server.kubeconfig, None, namespace))


def test_a_platform_is_known_afterwards_as_this_machine_reaches_it(
    api_server: ApiServer, publish: Callable[..., str], home: Path
) -> None:
    namespace = publish()
    learn(api_server, namespace)
    found = descriptor.find("team")
    assert found.folder == home / "platforms" / "team"
    assert found.cluster == descriptor.Cluster(
        kubeconfig=api_server.kubeconfig, context="modelyard-test", namespace=namespace
    )
    assert found.tracking_server is not None
    assert found.tracking_server.url == URL
    learn(api_server, namespace)


def test_the_command_says_how_to_go_on(api_server: ApiServer, publish: Callable[..., str]) -> None:
    connect.register(app)
    arguments = ["connect", "--namespace", publish(), "--kubeconfig", str(api_server.kubeconfig)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "platform 'team' is known here now: `modelyard status --stack team`" in done.output


def test_a_namespace_without_a_platform(api_server: ApiServer) -> None:
    with pytest.raises(ModelyardError, match="the namespace default of context 'modelyard-test' has no platform"):
        learn(api_server, "default")


def test_another_platform_of_its_name_is_kept(api_server: ApiServer, publish: Callable[..., str]) -> None:
    first = publish()
    learn(api_server, first)
    with pytest.raises(ModelyardError, match="another platform 'team' is known here already"):
        learn(api_server, publish())
    cluster = descriptor.find("team").cluster
    assert cluster is not None
    assert cluster.namespace == first


def test_a_platform_of_another_version_is_not_guessed_at(api_server: ApiServer, publish: Callable[..., str]) -> None:
    namespace = publish(schema_version=2)
    with pytest.raises(ModelyardError, match="is not a platform descriptor of schema version 1: schema_version"):
        learn(api_server, namespace)


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelyardError, match="nowhere is no kubeconfig"):
        kubeconfig.place(tmp_path / "nowhere", None, "team")


def test_in_a_pod_its_own_account_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(kubeconfig, "ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    assert kubeconfig.place(None, None, "team") == descriptor.Cluster(namespace="team")


def test_it_is_neither_made_nor_removed_from_here(
    api_server: ApiServer, publish: Callable[..., str], client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace = publish()
    learn(api_server, namespace)
    with pytest.raises(ModelyardError, match="which was made from another machine"):
        commands.up("team")
    commands.down("team")
    assert f"forgot 'team', which goes on in the namespace {namespace}" in capsys.readouterr().err
    assert descriptor.platforms() == []
    assert client.get(f"/api/v1/namespaces/{namespace}").json()["status"]["phase"] == "Active"


def test_a_damaged_descriptor_keeps_nobody_from_removing_what_is_here(home: Path) -> None:
    folder = home / "platforms" / "team"
    folder.mkdir(parents=True)
    (folder / descriptor.FILE_NAME).write_text("{")
    assert commands._made_elsewhere("team") is None


def test_a_platform_says_of_itself_what_others_need(registered_cluster: Callable[..., list[Registered]]) -> None:
    (found,) = (one for one in registered_cluster() if one.name == connect.CONFIG_MAP)
    document = json.loads(found.inputs["data"][connect.KEY])
    assert document["stack"] == "test"
    assert document["tracking_server"]["url"].startswith("https://mlflow.")
    assert not document.keys() & set(connect.OF_ONE_MACHINE)
