"""What `pulumi up` and `destroy` make of a program, on a real API server."""

import pytest
from pulumi import ResourceOptions, automation, export
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.batch.v1 import CronJob
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret, Service
from pulumi_kubernetes.helm.v3 import Release
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget
from pulumi_kubernetes.scheduling.v1 import PriorityClass


def everything(yard):
    made = yard.deployment()
    Service("app", metadata=yard.named("app"), spec={"ports": [{"port": 80, "target_port": "http"}]})
    Secret("login", metadata=yard.named("login"), string_data={"password": "sesame-open"})
    pod = {"containers": [{"name": "main", "image": "none"}], "restart_policy": "Never"}
    template = {"spec": {"template": {"spec": pod}}}
    CronJob("nightly", metadata=yard.named("nightly"), spec={"schedule": "0 3  * * *", "job_template": template})
    budget = {"min_available": 1, "selector": {"match_labels": {"app": "app"}}}
    PodDisruptionBudget("app", metadata=yard.named("app"), spec=budget)
    export("uid", made.metadata.uid)


def test_objects_come_stay_and_go_with_the_program(yard):
    assert yard.up(lambda: everything(yard)) == {"create": 5}
    assert yard.resources()["app"]["id"] == f"{yard.namespace}/app"
    assert yard.up(lambda: everything(yard)) == {"same": 5}
    yard.destroy()
    assert not yard.exists("secrets/login")
    assert not yard.exists("services/app")


def test_a_change_is_made_in_place(yard):
    yard.up(yard.deployment)
    before = yard.get("apps/v1/deployments/app")["metadata"]["uid"]
    assert yard.up(lambda: yard.deployment(labels={"tier": "front"})) == {"update": 1}
    after = yard.get("apps/v1/deployments/app")["metadata"]
    assert (after["uid"], after["labels"]) == (before, {"tier": "front"})


def test_an_immutable_field_replaces_the_object(yard):
    yard.up(yard.deployment)
    assert yard.up(lambda: yard.deployment(app="other")) == {"replace": 1}
    live = yard.get("apps/v1/deployments/app")
    assert live["spec"]["selector"] == {"matchLabels": {"app": "other"}}


def test_what_only_the_api_server_knows_to_be_immutable_replaces_too(yard):
    def priority(value):
        PriorityClass("high", metadata={"name": f"{yard.namespace}-high"}, value=value)

    yard.up(lambda: priority(10))
    assert yard.preview(lambda: priority(20)) == {"replace": 1}


def test_contents_of_a_config_map_replace_it_as_long_as_it_is_not_declared_mutable(yard, monkeypatch):
    def colors(value):
        ConfigMap("colors", metadata=yard.named("colors"), data={"color": value})

    yard.up(lambda: colors("blue"))
    assert yard.preview(lambda: colors("red")) == {"replace": 1}
    monkeypatch.setenv("PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE", "true")
    assert yard.up(lambda: colors("red")) == {"update": 1}


def test_a_preview_shows_defaults_and_makes_nothing(yard):
    seen = []

    def program():
        yard.deployment().spec.apply(lambda spec: seen.append(spec.revision_history_limit))

    assert yard.preview(program) == {"create": 1}
    assert seen == [10]
    assert not yard.exists("apps/v1/deployments/app")


def test_a_preview_refuses_what_the_api_server_would(yard):
    def misspelt():
        spec = {"replica": 1, "selector": {}, "template": {}}
        CustomResource("app", api_version="apps/v1", kind="Deployment", metadata=yard.named("app"), spec=spec)

    with pytest.raises(automation.CommandError, match=r"\.spec\.replica: field not declared"):
        yard.preview(misspelt)


def test_a_name_must_be_given(yard):
    with pytest.raises(automation.CommandError, match=r"metadata\.name.* must be given"):
        yard.preview(lambda: ConfigMap("colors", data={"color": "blue"}))


def test_a_namespace_goes_with_all_that_is_in_it(yard):
    def program():
        name = f"{yard.namespace}-inner"
        space = Namespace("inner", metadata={"name": name})
        inside = ResourceOptions(parent=space)
        ConfigMap("colors", metadata={"name": "colors", "namespace": space.metadata["name"]}, opts=inside)

    assert yard.up(program) == {"create": 2}
    yard.client.post(f"/api/v1/namespaces/{yard.namespace}-inner/secrets", json={"metadata": {"name": "not-ours"}})
    yard.destroy()
    assert not yard.exists(f"/api/v1/namespaces/{yard.namespace}-inner")


def test_an_object_that_somebody_else_made_is_left_alone(yard):
    yard.create("configmaps", "colors")
    with pytest.raises(automation.CommandError, match=f'resource "{yard.namespace}/colors" already exists'):
        yard.up(lambda: ConfigMap("colors", metadata=yard.named("colors"), data={"color": "blue"}))


def test_an_object_that_is_there_is_taken_over_where_that_is_wanted(yard):
    yard.create("configmaps", "colors", data={"color": "blue"})

    def program():
        provider = Provider("upserting", upsert_existing_objects=True)
        opts = ResourceOptions(provider=provider)
        ConfigMap("colors", metadata=yard.named("colors"), data={"shade": "dark"}, opts=opts)

    assert yard.up(program)["create"] == 2
    assert yard.get("configmaps/colors")["data"] == {"color": "blue", "shade": "dark"}


def test_an_object_can_be_imported(yard):
    yard.create("configmaps", "colors", data={"color": "blue"})

    def program():
        known = ResourceOptions(import_=f"{yard.namespace}/colors")
        ConfigMap("colors", metadata=yard.named("colors"), data={"color": "blue"}, opts=known)

    assert yard.up(program) == {"import": 1}


def test_a_helm_release_is_refused_by_name(yard):
    with pytest.raises(automation.CommandError, match=r"tests, and it can't do kubernetes:helm.sh/v3:Release"):
        yard.up(lambda: Release("chart", chart="nginx"))
