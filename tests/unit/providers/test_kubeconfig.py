import pytest
import yaml

from tests.support.providers.kubernetes.errors import Unreachable, Unsupported
from tests.support.providers.kubernetes.kubeconfig import connection


@pytest.fixture
def document():
    return {
        "clusters": [{"name": "here", "cluster": {"server": "https://here:6443/"}}],
        "users": [{"name": "me", "user": {"token": "let-me-in"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "here", "user": "me", "namespace": "work"}},
            {"name": "two", "context": {"cluster": "gone", "user": "me"}},
        ],
        "current-context": "one",
    }


def test_contents_serve_as_well_as_a_file(document, tmp_path):
    text = yaml.safe_dump(document)
    (tmp_path / "config").write_text(text)
    for kubeconfig in (text, str(tmp_path / "config")):
        found = connection(kubeconfig, None)
        assert (found.server, found.namespace) == ("https://here:6443", "work")
        assert found.headers == {"Authorization": "Bearer let-me-in"}


def test_the_first_file_of_the_environment_is_taken(document, tmp_path, monkeypatch):
    (tmp_path / "second").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/first:{tmp_path}/second")
    assert connection(None, None).described == f"https://here:6443/ (context 'one' of {tmp_path}/second)"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Unreachable, match=f"there is no kubeconfig {tmp_path}/config"):
        connection(f"{tmp_path}/config", None)


def test_a_context_that_is_not_there_is_named_with_those_that_are(document):
    with pytest.raises(Unreachable, match="has no context 'three': its contexts are one, two"):
        connection(yaml.safe_dump(document), "three")


def test_a_cluster_that_is_not_there_is_named(document):
    with pytest.raises(Unreachable, match="has no cluster 'gone': its clusters are here"):
        connection(yaml.safe_dump(document), "two")


def test_a_login_by_another_program_is_refused(document):
    document["users"][0]["user"] = {"exec": {"command": "aws"}}
    with pytest.raises(Unsupported, match="that user 'me' of the kubeconfig asks for"):
        connection(yaml.safe_dump(document), None)


def test_a_broken_certificate_is_an_error_that_says_whose(document):
    document["clusters"][0]["cluster"]["certificate-authority-data"] = "bm90IGEgY2VydGlmaWNhdGU="
    with pytest.raises(Unreachable, match="a certificate or key of the kubeconfig can't be used"):
        connection(yaml.safe_dump(document), None)
