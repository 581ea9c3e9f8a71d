"""Facts about every object that a platform in a cluster consists of."""

import json

import kubernetes_validate
import pytest
import yaml

from modelyard.descriptor import Descriptor, SecretKey
from tests.infra.conftest import ROOT

OTHERS_GROUPS = ("gateway.networking.k8s.io", "gateway.envoyproxy.io")


@pytest.fixture
def objects(registered_cluster):
    """Every object, by kind and name, as the program registers it."""
    return registered_cluster()


@pytest.fixture
def pods(objects):
    """Every pod's specification, by the name of what makes it."""
    found = {r.name: r.inputs.get("spec", {}) for r in objects}
    specs = {name: spec.get("jobTemplate", {}).get("spec", spec) for name, spec in found.items()}
    return {name: spec["template"]["spec"] for name, spec in specs.items() if "template" in spec}


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_every_object_has_a_name_of_its_own(objects):
    assert all(r.inputs["metadata"]["name"] == r.name for r in objects if "metadata" in r.inputs)


def test_every_object_says_whose_it_is(objects):
    for resource in objects:
        labels = resource.inputs["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "modelyard", resource.name


def test_every_object_fits_the_schema_of_its_kind(objects):
    for resource in objects:
        if resource.type.removeprefix("kubernetes:").startswith(OTHERS_GROUPS):
            continue  # the real API server checks these, in tests/cluster
        version, _, kind = resource.type.removeprefix("kubernetes:").rpartition(":")
        fields = {key: value for key, value in resource.inputs.items() if key != "stringData"}  # sealed here
        document = {"apiVersion": version.removeprefix("core/"), "kind": kind, **fields}
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_no_pod_gets_a_token_it_does_not_need(pods):
    assert pods
    assert {name for name, pod in pods.items() if pod["automountServiceAccountToken"]} == {
        "serving-agent",
        "pod-metrics",
    }


def test_a_role_names_verbs_and_objects(objects):
    rules = [rule for r in objects if r.kind == "Role" for rule in r.inputs["rules"]]
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], rule
        assert "secrets" not in rule["resources"], rule
    assert not [r for r in objects if r.kind.startswith("ClusterRole")]


def test_no_root_file_system_can_be_written(pods):
    for name, pod in pods.items():
        for container in containers(pod):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_every_pod_runs_as_somebody_and_under_seccomp(pods):
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name


def test_every_container_asks_for_what_it_needs_and_has_a_limit_of_memory(pods):
    for name, pod in pods.items():
        for container in containers(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"], name


def test_every_image_is_named_by_digest(pods):
    assert all("@sha256:" in container["image"] for pod in pods.values() for container in containers(pod))


def test_placement_and_logins_of_registries_reach_every_pod(pods):
    for name, pod in pods.items():
        assert pod["nodeSelector"] == {"pool": "ml"}, name
        assert pod["imagePullSecrets"] == [{"name": "registry"}], name


def test_every_server_says_when_it_is_ready(objects):
    for resource in objects:
        if resource.kind in ("Deployment", "StatefulSet"):
            (container,) = resource.inputs["spec"]["template"]["spec"]["containers"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), resource.name


def test_no_secret_is_a_plain_value_of_a_pod(pods):
    for name, pod in pods.items():
        for container in containers(pod):
            plain = [variable["name"] for variable in container["env"] if "value" in variable]
            assert not [name for name in plain if "KEY" in name or name.endswith(("PASSWORD", "TOKEN"))], name


def test_the_namespace_admits_restricted_pods_only(objects):
    (namespace,) = (r for r in objects if r.kind == "Namespace")
    assert namespace.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_all_ways_are_closed_but_the_ones_that_parts_need(objects):
    policies = {r.name: r.inputs["spec"] for r in objects if r.kind == "NetworkPolicy"}
    assert policies["closed"]["podSelector"] == {}
    assert "ingress" not in policies["closed"]
    ways = {name for name in policies if name.startswith("to-")}
    parts = ["registry-database", "artifact-store", "tracking-server", "serving-cluster", "monitoring"]
    watching = ["alertmanager", "pushgateway", "prober", "postgres-exporter", "pod-metrics"]
    assert ways == {f"to-{name}" for name in [*parts, *watching]}
    for name in ways:
        (rule,) = policies[name]["ingress"]
        assert len(rule["from"]) == 1, name
        assert rule["ports"], name


def test_a_role_sees_its_own_password_alone(pods):
    (projected,) = (v["projected"] for v in pods["tracking-server"]["volumes"] if v["name"] == "secrets")
    mounted = {source["secret"]["name"] for source in projected["sources"]}
    assert "registry-database-postgres" not in mounted
    assert "registry-database-modelyard" not in mounted


def test_the_template_names_every_part_it_can(objects):
    config = yaml.safe_load((ROOT / "stacks" / "templates" / "cluster.yaml").read_text())["config"]
    assert {key.removeprefix("modelyard:") for key in config} == {
        "images",
        "cluster",
        "registry_database",
        "edge",
        "artifact_store",
        "tracking_server",
        "serving_cluster",
        "monitoring",
    }


def test_an_idle_platform_asks_for_little(objects):
    cpu, memory = 0, 0
    for resource in objects:
        if resource.kind in ("Deployment", "StatefulSet"):
            scaled = [r for r in objects if r.kind == "HorizontalPodAutoscaler" and r.name == resource.name]
            spec = resource.inputs["spec"]
            replicas = scaled[0].inputs["spec"]["minReplicas"] if scaled else spec["replicas"]
            (container,) = spec["template"]["spec"]["containers"]
            cpu += replicas * int(container["resources"]["requests"]["cpu"].removesuffix("m"))
            memory += replicas * int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
    assert cpu <= 1500, "thousandths of a core"
    assert memory <= 2560, "MiB"


def test_data_lies_on_volumes_that_do_not_go_with_their_server(objects, pods):
    claims = {r.name for r in objects if r.kind == "PersistentVolumeClaim"}
    servers = ["registry-database", "artifact-store", "prometheus", "alertmanager", "pushgateway"]
    assert claims == {f"{name}-data" for name in servers}
    used = {
        v["persistentVolumeClaim"]["claimName"]
        for pod in pods.values()
        for v in pod["volumes"]
        if "persistentVolumeClaim" in v
    }
    assert used == claims
    assert not [r for r in objects if "volumeClaimTemplates" in r.inputs.get("spec", {})]


def test_deleted_runs_are_collected_at_night_unless_they_are_kept_for_ever(objects, registered_cluster):
    def jobs(found):
        return [r.inputs["spec"] for r in found if r.kind == "CronJob"]

    (spec,) = jobs(objects)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert not jobs(registered_cluster(tracking_server={"kind": "kubernetes", "deleted_kept_days": None}))


def test_a_job_has_a_name_of_its_own_for_each_image_that_it_runs(registered_cluster):
    def jobs(digit):
        return {r.name for r in registered_cluster(digit) if r.kind == "Job"}

    assert len(jobs("0")) == 3
    assert not jobs("0") & jobs("1")


def test_the_command_is_told_where_logins_and_keys_are_kept_and_never_what_they_are(registered_cluster):
    made = registered_cluster(everything=True)
    document = next(r.inputs["document"] for r in made if r.kind == "DescriptorFile")
    described = Descriptor.model_validate(document)
    assert described.tracking_server.username == "admin"
    assert described.tracking_server.password_secret == SecretKey(name="tracking-server-admin", key="password")
    assert described.serving_cluster.api_key_secrets == {"team": SecretKey(name="serving-cluster-api-keys", key="team")}
    assert "generated" not in json.dumps(document)
