import pytest

from tests.support.providers.kubernetes.configuration import difference, options, unpacked
from tests.support.providers.kubernetes.values import UNKNOWN


@pytest.fixture
def cluster(tmp_path):
    """Write the kubeconfig of an API server; its path."""

    def write(name, server):
        (tmp_path / name).write_text(
            f"clusters: [{{name: a, cluster: {{server: {server}}}}}]\n"
            "contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
        )
        return str(tmp_path / name)

    return write


def test_switches_come_as_json_and_texts_as_they_are():
    assert unpacked({"enablePatchForce": "true", "namespace": "true"}) == {
        "enablePatchForce": True,
        "namespace": "true",
    }


def test_contents_are_mutable_where_the_configuration_or_else_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SECRET_MUTABLE", "true")
    assert options({"enableConfigMapMutable": True}).mutable_kinds == {"ConfigMap", "Secret"}
    assert options({"enableSecretMutable": False}).mutable_kinds == frozenset()


def test_the_same_server_in_another_file_replaces_nothing(cluster):
    old, new = cluster("one", "https://here"), cluster("two", "https://here")
    assert not difference({"kubeconfig": old}, {"kubeconfig": new}).replaces


def test_another_server_replaces_everything(cluster):
    old, new = cluster("one", "https://here"), cluster("two", "https://there")
    assert difference({"kubeconfig": old}, {"kubeconfig": new}).replaces == {("kubeconfig",)}


def test_a_server_that_is_not_known_yet_replaces_nothing(cluster):
    old = cluster("one", "https://here")
    assert not difference({"kubeconfig": old}, {"kubeconfig": UNKNOWN}).replaces
