import pytest

from modelyard import descriptor
from modelyard.descriptor import Cluster, Descriptor
from modelyard.errors import ModelyardError, Unreachable
from modelyard.kube import remote
from modelyard.processes.ports import any_free_port

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.fixture
def platform(tmp_path):
    """One whose cluster nobody answers for."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG % any_free_port())
    cluster = Cluster(kubeconfig=kubeconfig, context="c", namespace="ml")
    return Descriptor(stack="prod", protect=True, folder=tmp_path, cluster=cluster)


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (["models"], ["models"]),
        (["deploy", "bike", "--stack", "prod"], ["deploy", "bike"]),
        (["deploy", "-s", "prod", "bike"], ["deploy", "bike"]),
        (["models", "--stack=prod", "--json"], ["models", "--json"]),
    ],
)
def test_what_runs_in_the_cluster_is_not_told_which_platform(typed, left):
    assert remote.without_stack(typed) == left


@pytest.mark.parametrize("ask", [remote.look, lambda platform: remote.run(platform, "serving-agent", ["models"])])
def test_a_cluster_that_is_not_reached(platform, ask):
    with pytest.raises(Unreachable, match="context 'c' can't be reached"):
        ask(platform)


def test_a_kubeconfig_that_is_gone(platform):
    platform.cluster.kubeconfig.unlink()
    with pytest.raises(ModelyardError, match="doesn't lead to the platform's cluster"):
        remote.look(platform)


def test_a_command_on_a_cluster_runs_there(platform, monkeypatch, tmp_path):
    file = tmp_path / "descriptor.json"
    file.write_text(platform.model_dump_json())
    monkeypatch.setenv("MODELYARD_DESCRIPTOR", str(file))
    assert descriptor.find("whatever") == platform
    with pytest.raises(descriptor.InCluster) as elsewhere:
        descriptor.here()
    assert elsewhere.value.platform == platform
    assert elsewhere.value.pods == "serving-agent"
