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
            "owner": "mine",
            "create_namespace": True,
            "storage_class": "slow",
            "volumes": True,
            "oldest": [1, 30],
            "apis": {},
        }
        return ClusterCheckProvider().make(inputs | changes)["version"]

    return run


@pytest.fixture
def somebody(api_server, client, tmp_path):
    """The kubeconfig of an account with these rules in every namespace and in the cluster as a whole."""

    def with_rules(*rules):
        roles = "/apis/rbac.authorization.k8s.io/v1"
        client(f"{roles}/clusterroles", {"metadata": {"name": "somebody"}, "rules": list(rules)})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "somebody"}
        account = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
        binding = {"metadata": {"name": "somebody"}, "roleRef": role, "subjects": [account]}
        client(f"{roles}/clusterrolebindings", binding)
        with api_server.client() as administrator:
            made = administrator.post("/api/v1/namespaces/default/serviceaccounts/default/token", json={"spec": {}})
        document = yaml.safe_load(api_server.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": made.json()["status"]["token"]}
        file = tmp_path / "somebody"
        file.write_text(yaml.safe_dump(document))
        return str(file)

    return with_rules


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


def test_no_storage_class_is_asked_for_where_there_are_no_volumes(look):
    assert look(storage_class=None, volumes=False)


def test_a_namespace_of_another_stack(look, client):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-other", "labels": {"modelyard.dev/stack": "other"}}})
    assert "belongs to the stack 'other'" in refused(look, namespace="ml-other")


def test_a_namespace_of_a_stack_that_has_the_same_name_elsewhere(look, client):
    labels = {"modelyard.dev/stack": "prod", "modelyard.dev/owner": "colleague"}
    client("/api/v1/namespaces", {"metadata": {"name": "ml-shared", "labels": labels}})
    assert "belongs to the stack 'prod', of another state than this one" in refused(look, namespace="ml-shared")
    assert look(namespace="ml-shared", owner="colleague")


def test_a_given_namespace_that_another_stack_uses(look, client):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-common"}})
    labels = {"modelyard.dev/stack": "other", "modelyard.dev/owner": "theirs"}
    policies = "/apis/networking.k8s.io/v1/namespaces/ml-common/networkpolicies"
    client(policies, {"metadata": {"name": "closed", "labels": labels}, "spec": {"podSelector": {}}})
    assert "belongs to the stack 'other'" in refused(look, namespace="ml-common", create_namespace=False)


def test_another_cluster_than_the_one_the_platform_was_made_in(look, api_server):
    with api_server.client() as client:
        uid = client.get("/api/v1/namespaces/kube-system").json()["metadata"]["uid"]
    assert look(cluster=uid)
    said = refused(look, cluster="0" * len(uid))
    assert "isn't the one that this platform was made in" in said


def test_a_platform_does_not_move_to_another_namespace():
    failures = ClusterCheckProvider().check({"namespace": "ml"}, {"namespace": "ml-new"}).failures
    assert "its data would stay behind. Put `namespace: ml` back" in failures[0].reason
    assert ClusterCheckProvider().check({"namespace": "ml"}, {"namespace": "ml"}).failures == []


def test_a_namespace_that_somebody_else_made(look, client):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-given"}})
    assert "was not made by Modelyard" in refused(look, namespace="ml-given")
    assert look(namespace="ml-given", create_namespace=False)


def test_a_namespace_that_was_promised_and_is_missing(look):
    said = refused(look, namespace="ml-missing", create_namespace=False)
    assert "the namespace 'ml-missing' isn't there" in said


def test_an_account_that_may_only_see_its_namespace_will_do(look, client, somebody):
    client("/api/v1/namespaces", {"metadata": {"name": "ml-small"}})
    rules = (
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["ml-small"], "verbs": ["get"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get"]},
    )
    wanted = {"storage.k8s.io/v1/storageclasses/any": "never said"}
    kubeconfig = somebody(*rules)
    assert look(namespace="ml-small", create_namespace=False, kubeconfig=kubeconfig, apis=wanted, storage_class=None)


def test_an_account_without_rights(look, api_server, tmp_path):
    document = yaml.safe_load(api_server.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "nobody's"}
    other = tmp_path / "kubeconfig"
    other.write_text(yaml.safe_dump(document))
    assert "refuses: Unauthorized" in refused(look, kubeconfig=str(other))
