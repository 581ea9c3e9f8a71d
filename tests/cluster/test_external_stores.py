"""A stack whose database and bucket are another namespace's: what its Jobs make there, and what they say is wrong."""

import json
from collections.abc import Iterator

import pytest

from modelyard.provisioning import bucket
from tests.support.cluster_platform import ClusterPlatform, a_cluster_platform
from tests.support.clusters import Cluster
from tests.support.node.identity import Provider
from tests.support.waiting import eventually

ONLY_STORES = dict.fromkeys(("edge", "tracking_server", "serving_cluster", "monitoring"))
HERE = {"cluster": {"create_namespace": False}}
UNVERSIONED = "unversioned"
Document = dict[str, object]


@pytest.fixture(scope="module")
def guest(
    node: Cluster, platform: ClusterPlatform, references: dict[str, str], provider: Provider
) -> Iterator[ClusterPlatform]:
    """A stack of two parts only, which uses the servers of `platform` as somebody else's."""
    host = f"{platform.namespace}.svc.cluster.local"
    place = {"kind": "namespace", "namespace": platform.namespace}
    with a_cluster_platform(node, references, provider) as guest:
        guest.configure(
            references,
            **HERE,
            registry_database={
                "kind": "external",
                "host": f"registry-database.{host}",
                "unencrypted": True,
                "administrator": {"secret": "their-database", "user": "postgres"},
                "reached_at": place,
            },
            artifact_store={
                "kind": "external",
                "endpoint_url": f"http://artifact-store.{host}:7070",
                "unencrypted": True,
                "bucket": "guest",
                "create_bucket": True,
                "credentials": {"secret": "their-store"},
                "reached_at": place,
            },
            **ONLY_STORES,
        )
        store = {key: platform.secret("artifact-store-keys", key) for key in ("access-key", "secret-key")}
        node.kubectl("create", "namespace", guest.namespace)
        have_secret(guest, "their-database", {"password": "not-this-one"})
        have_secret(guest, "their-store", store)
        node.kubectl("apply", "-f", "-", document=let_in(platform, guest.namespace))
        yield guest
    own = (f"--selector=app.kubernetes.io/instance={guest.stack}", "--output=name")
    assert guest.kubectl("get", "jobs,configmaps,secrets,networkpolicies", *own) == ""  # `down` has left nothing there
    node.kubectl("delete", "namespace", guest.namespace, "--wait=false")
    platform.kubectl("delete", "networkpolicy", "guest")


def have_secret(guest: ClusterPlatform, name: str, values: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": guest.namespace}
    guest.node.kubectl(
        *("apply", "-f", "-"),
        document={"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values},
    )


def let_in(platform: ClusterPlatform, namespace: str) -> Document:
    """What whoever runs the servers has to allow."""
    others = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    ports = [{"protocol": "TCP", "port": port} for port in (5432, 7070)]
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [others], "ports": ports}]}
    metadata = {"name": "guest", "namespace": platform.namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def test_a_wrong_password_is_said_and_put_right(guest: ClusterPlatform, platform: ClusterPlatform) -> None:
    failed = guest.run("up")
    assert failed.returncode != 0
    (job,) = (name for name in guest.kubectl("get", "jobs", "-o", "name").split() if "registry-database" in name)
    said = last_words(guest, job.partition("/")[2])
    assert "the server doesn't take this user with this password: is the Secret right?" in said
    assert "not-this-one" not in said + failed.stdout + failed.stderr

    have_secret(guest, "their-database", {"password": platform.secret("registry-database-postgres", "password")})
    guest.up()
    said = "".join(guest.kubectl("logs", name) for name in guest.kubectl("get", "jobs", "-o", "name").split())
    assert "4 roles and their databases are there" in said
    assert "the bucket 'guest' is there, and can be used" in said


def test_nothing_changes_the_second_time(guest: ClusterPlatform) -> None:
    assert guest.changes() == {}


def test_what_is_wrong_is_said_by_the_jobs(guest: ClusterPlatform, platform: ClusterPlatform) -> None:
    with platform.forwarded("artifact-store", 7070) as address:
        keys = (platform.secret("artifact-store-keys", key) for key in ("access-key", "secret-key"))
        bucket.client(f"http://{address}", "us-east-1", *keys).create_bucket(Bucket=UNVERSIONED)
    start_copy(guest, "registry-database-roles", "unreachable", port=5433, seconds=4)
    start_copy(guest, "artifact-store-bucket", "unversioned", bucket=UNVERSIONED, create=False)
    said = last_words(guest, "unreachable")
    assert "does its firewall let the cluster in, and does `reached_at` name where it is?" in said
    assert f"the bucket '{UNVERSIONED}' keeps no older versions" in last_words(guest, "unversioned")


def test_another_kind_goes_on_with_the_passwords_there_are(guest: ClusterPlatform, references: dict[str, str]) -> None:
    """Once somebody says that the data was moved; what both kinds have is neither made anew nor deleted."""
    before = guest.secret("registry-database-mlflow", "password")
    guest.configure(references, **ONLY_STORES, **HERE, registry_database={"kind": "statefulset"}, artifact_store=None)
    refused = guest.run("up")
    assert refused.returncode == 1
    assert "it can't become 'statefulset' without losing that data" in refused.stdout + refused.stderr
    moved = {"kind": "statefulset", "migrated_from": "external"}
    guest.configure(references, **ONLY_STORES, **HERE, registry_database=moved, artifact_store=None)
    guest.up()
    assert guest.secret("registry-database-mlflow", "password") == before
    assert guest.kubectl("get", "pod", "registry-database-0", "-o", "jsonpath={.status.phase}") == "Running"
    assert guest.changes() == {}


def start_copy(guest: ClusterPlatform, prefix: str, name: str, **changes: object) -> None:
    """Run a Job of the stack again, with some of its request changed."""
    jobs = json.loads(guest.kubectl("get", "jobs", "-o", "json"))["items"]
    (job,) = (one for one in jobs if one["metadata"]["name"].startswith(prefix))
    request = json.loads(guest.kubectl("get", "configmap", prefix, "-o", "jsonpath={.data.request\\.json}")) | changes
    metadata = {"name": name, "namespace": guest.namespace}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"request.json": json.dumps(request)},
    }
    pod = job["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = name
    labels = {key: text for key, text in job["spec"]["template"]["metadata"]["labels"].items() if "modelyard" in key}
    spec = {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}}
    copy = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    guest.node.kubectl("apply", "-f", "-", document=[config, copy])


def last_words(guest: ClusterPlatform, name: str) -> str:
    """The termination message of a Job's pod that failed."""
    path = "jsonpath={.items[*].status.containerStatuses[0].state.terminated.message}"

    def message() -> str:
        return guest.kubectl("get", "pods", "-l", f"job-name={name}", "-o", path)

    eventually(lambda: bool(message()), seconds=60, what=f"the end of the Job {name}")
    return message()
