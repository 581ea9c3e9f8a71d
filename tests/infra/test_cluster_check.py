"""The look at a cluster before anything is made in it: on a real API server, and where there is none."""

import pytest
import yaml

from modelyard.errors import ModelyardError
from modelyard.processes.ports import any_free_port
from modelyard_infra.resources.cluster_check import ClusterCheckProvider


@pytest.fixture
def look(api_server):
    """Looks at the API server as the settings of a part would have it."""

    def run(**changes):
        inputs = {
            "kubeconfig": str(api_server.kubeconfig),
            "context": "modelyard-test",
            "server": api_server.url,
            "namespace": "ml",
            "stack": "prod",
            "create_namespace": True,
            "storage_class": "slow",
            "oldest": [1, 30],
            "apis": {},
        }
        return ClusterCheckProvider().make(inputs | changes)["version"]

    return run


@pytest.fixture
def client(api_server):
    """Makes and deletes objects as the administrator; what a test made is gone afterwards."""
    with api_server.client() as client:
        made = []

        def make(path, document):
            client.post(path, json=document).raise_for_status()
            made.append(f"{path}/{document['metadata']['name']}")

        yield make
        for path in made:
            client.delete(path)


@pytest.fixture(autouse=True)
def slow(client):
    """A storage class that isn't the default."""
    metadata = {"name": "slow"}
    client("/apis/storage.k8s.io/v1/storageclasses", {"metadata": metadata, "provisioner": "none.example"})


def refused(look, **changes):
    with pytest.raises(ModelyardError) as error:
        look(**changes)
    return str(error.value)


def test_a_cluster_that_has_what_is_needed(look):
    assert look(apis={"apps/v1": ""}).startswith("v1.")


def test_a_cluster_that_nobody_answers_for(look, api_server, tmp_path):
    port = any_free_port()
    document = yaml.safe_load(api_server.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    other = tmp_path / "kubeconfig"
    other.write_text(yaml.safe_dump(document))
    said = refused(look, kubeconfig=str(other), server=f"https://127.0.0.1:{port}")
    assert f"the cluster at https://127.0.0.1:{port} can't be reached" in said
    assert "does `kubectl --context modelyard-test version` reach it from here?" in said


def test_a_cluster_that_is_too_old(look):
    assert "Modelyard needs 9.9 or newer" in refused(look, oldest=[9, 9])


def test_what_others_have_to_install_is_named_with_where_to_get_it(look):
    wanted = {"gateway.networking.k8s.io/v1": "install Gateway API: https://example", "apps/v1": "never said"}
    said = refused(look, apis=wanted)
    assert "doesn't have gateway.networking.k8s.io/v1" in said
    assert "→ install Gateway API: https://example" in said
    assert "never said" not in said


def test_a_storage_class_that_is_not_there(look):
    said = refused(look, storage_class="fast")
    assert "modelyard:cluster.storage_class is 'fast', which the cluster doesn't have" in said
    assert "it has: slow" in said


def test_no_default_storage_class(look):
    assert "set modelyard:cluster.storage_class to one of: slow" in refused(look, storage_class=None)


def test_a_namespace_of_another_stack(look, client):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-other", "labels": {"modelyard.dev/stack": "other"}}})
    assert "belongs to the stack 'other'" in refused(look, namespace="ml-other")


def test_a_namespace_that_somebody_else_made(look, client):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-given"}})
    assert "was not made by Modelyard" in refused(look, namespace="ml-given")
    assert look(namespace="ml-given", create_namespace=False)


def test_a_namespace_that_was_promised_and_is_missing(look):
    said = refused(look, namespace="ml-missing", create_namespace=False)
    assert "the namespace 'ml-missing' isn't there" in said


def test_an_account_without_rights(look, api_server, tmp_path):
    document = yaml.safe_load(api_server.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "nobody's"}
    other = tmp_path / "kubeconfig"
    other.write_text(yaml.safe_dump(document))
    assert "refuses: Unauthorized" in refused(look, kubeconfig=str(other))
