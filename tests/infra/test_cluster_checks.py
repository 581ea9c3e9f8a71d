"""What others' checkers say of every object that a platform in a cluster consists of.

The API server judges every field and, by its Pod Security admission, every pod; kube-score and checkov judge what is
good practice. What is found and stays is in waivers.yaml, with the reason.
"""

import json
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from modelyard.serving.kubernetes.documents import version_objects
from modelyard.serving.kubernetes.settings import ControllerSettings
from tests.support import checkov
from tests.support.node import gateway, kserve

WAIVERS = yaml.safe_load(Path(__file__).with_name("waivers.yaml").read_text())
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture
def documents(registered_cluster):
    """Every object as a manifest, in the order in which it is registered."""
    return [manifest(resource) for resource in registered_cluster()]


def manifest(resource):
    version, _, kind = resource.type.removeprefix("kubernetes:").rpartition(":")
    document = {"apiVersion": version.removeprefix("core/"), "kind": kind, **whole(resource.inputs)}
    if "stringData" in document:
        document["stringData"] = dict.fromkeys(document["stringData"]["value"], "generated")
    return document


def whole(value):
    """With whole numbers as such: on their way through the engine they become floats."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture(scope="session")
def kubectl(api_server):
    """kubectl as the administrator of an API server that knows Gateway API's, Envoy Gateway's and KServe's kinds."""

    def run(*arguments, stdin=""):
        command = ["kubectl", f"--kubeconfig={api_server.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)

    files = [word for file in (*gateway.definitions(), *kserve.definitions()) for word in ("-f", str(file))]
    done = run("apply", "--server-side", *files)
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    run("wait", "--for=condition=Established", "--timeout=60s", *kinds)
    return run


@pytest.fixture
def place(kubectl, documents):
    """The platform's namespace, which admits restricted pods only."""
    (namespace,) = (one for one in documents if one["kind"] == "Namespace")
    done = kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(namespace))
    assert done.returncode == 0, done.stderr
    assert namespace["metadata"]["labels"].items() >= RESTRICTED.items()
    return namespace["metadata"]["name"]


def test_the_api_server_takes_every_object_and_its_pod_security_finds_nothing(kubectl, place, documents):
    said = judged(kubectl, [*documents, model_server(documents)])
    assert said.returncode == 0, said.stderr
    assert "Warning" not in said.stderr, said.stderr


def test_its_pod_security_would_find_something(kubectl, place, documents):
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["securityContext"] = {"runAsUser": 0}
    assert "would violate PodSecurity" in judged(kubectl, [deployment]).stderr


def test_the_api_server_takes_what_is_handed_to_kserve(kubectl, place, registered_cluster):
    serving = {
        "kind": "kserve",
        "api_keys": ["team"],
        "most_replicas": 5,
        "models": {"m": {"cpu": "2", "memory": "1Gi"}},
    }
    handed = [manifest(resource) for resource in registered_cluster(serving_cluster=serving)]
    models = version_objects(agent(handed), ("m", 1), "mlflow-artifacts:/1/m", replicas=2, running=None)
    assert [one["kind"] for one in models] == ["InferenceService", "Service", "PodDisruptionBudget"]
    said = judged(kubectl, [*(one for one in handed if one["kind"] == "ServingRuntime"), *models])
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("serverside-applied") == 4


def judged(kubectl, documents):
    """What the API server would say, without doing it."""
    text = "---\n".join(yaml.safe_dump(one) for one in documents)
    return kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


def agent(documents):
    """The settings that the serving agent reads."""
    (config,) = (one for one in documents if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "serving-agent")
    return ControllerSettings.model_validate_json(config["data"]["settings.json"])


def model_server(documents):
    """A pod as the serving agent makes it."""
    settings = agent(documents)
    metadata = settings.pod["metadata"] | {"name": "model-server", "namespace": settings.namespace}
    return {"apiVersion": "v1", "kind": "Pod", **settings.pod, "metadata": metadata}


def test_kube_score_finds_nothing_but_what_is_left_for_a_reason(rendered):
    command = ["kube-score", "score", "--output-format", "json", "--output-version", "v2", str(rendered)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = [
        (check["check"]["id"], scored["object_meta"]["name"])
        for scored in json.loads(done.stdout)
        for check in scored["checks"] or []
        if check["grade"] < 10 and not check["skipped"]
    ]
    assert unwaived("kube-score", found) == []


def test_checkov_finds_nothing_but_what_is_left_for_a_reason(rendered):
    assert unwaived("checkov", checkov.findings(rendered)) == []


@pytest.fixture
def rendered(documents, tmp_path):
    """A file with all of them."""
    file = tmp_path / "platform.yaml"
    file.write_text("---\n".join(yaml.safe_dump(one) for one in [*documents, model_server(documents)]))
    return file


def unwaived(checker, found):
    """What is found without a waiver, and waivers that nothing is found for."""
    waivers = WAIVERS[checker]
    extra = [one for one in found if not is_waived(waivers, *one)]
    return extra + [f"no finding: {check}" for check in waivers if check not in {check for check, _ in found}]


def is_waived(waivers, check, name):
    return check in waivers and any(fnmatch(name, one) for one in waivers[check].get("objects", ["*"]))
