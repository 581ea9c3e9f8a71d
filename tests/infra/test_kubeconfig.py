"""Which cluster a stack ends up in: never another one than the file says."""

from pathlib import Path

import pytest
import yaml

from modelyard.errors import ModelyardError
from modelyard.kube import kubeconfig as kubeconfigs
from modelyard_infra.parts.cluster import _kubeconfig


@pytest.fixture
def kubeconfig(tmp_path):
    contexts = [{"name": name, "context": {"cluster": name}} for name in ("staging", "prod")]
    clusters = [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in ("staging", "prod")]
    file = tmp_path / "config"
    document = {"kind": "Config", "contexts": contexts, "clusters": clusters, "current-context": "prod"}
    file.write_text(yaml.safe_dump(document))
    return file


def refused(*arguments):
    with pytest.raises(ModelyardError) as error:
        _kubeconfig.choose(*arguments)
    return str(error.value)


def test_a_context_is_found_by_its_name(kubeconfig):
    chosen = _kubeconfig.choose(str(kubeconfig), "staging", None)
    assert chosen == _kubeconfig.Chosen(str(kubeconfig), "staging", "https://staging.example")


def test_another_server_than_the_expected_one_is_refused(kubeconfig):
    said = refused(str(kubeconfig), None, "https://staging.example")
    assert "is 'https://staging.example', but the context 'prod'" in said
    assert "leads to 'https://prod.example'" in said


def test_an_unknown_context_lists_the_known_ones(kubeconfig):
    assert "its contexts are: prod, staging" in refused(str(kubeconfig), "stagin", None)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert f"there is no {tmp_path}/nowhere" in refused(str(tmp_path / "nowhere"), "prod", None)


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path):
    (tmp_path / "config").write_text("- just\n- a list\n")
    assert "is no kubeconfig" in refused(str(tmp_path / "config"), "prod", None)


def test_the_file_is_looked_for_where_kubectl_looks(kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert _kubeconfig.choose(None, None, None).context == "prod"


@pytest.fixture
def in_a_pod(tmp_path, monkeypatch):
    """As in a pod of the cluster at https://10.0.0.1:443, without a kubeconfig."""
    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(kubeconfigs, "ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(Path(tmp_path, "nowhere")))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


def test_in_a_pod_its_own_account_is_used(in_a_pod):
    here = "https://10.0.0.1:443"
    assert _kubeconfig.choose(None, None, here) == _kubeconfig.Chosen(None, None, here)


def test_in_a_pod_another_cluster_is_refused(in_a_pod):
    assert "runs in a pod of the cluster at https://10.0.0.1:443" in refused(None, None, "https://prod.example")


def test_in_a_pod_a_context_means_another_cluster(in_a_pod):
    assert "context is 'prod', and there is no kubeconfig that could have it" in refused(None, "prod", None)
