"""`pulumi up` waits until what it made is ready, and says why if it isn't."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pulumi import automation
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apiextensions.v1 import CustomResourceDefinition
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import ConfigMap

SOON = {"pulumi.com/timeoutSeconds": "1"}


def test_what_did_not_become_ready_is_kept_and_mended_by_the_next_up(yard):
    with pytest.raises(automation.CommandError, match="app was created, but it is not ready after 1 s: 0 of 1 pods"):
        yard.up(lambda: yard.deployment(replicas=1, annotations=SOON))
    assert yard.resources()["app"]["initErrors"]
    assert yard.up(lambda: yard.deployment(annotations=SOON)) == {"update": 1}
    assert not yard.resources()["app"].get("initErrors")


def test_a_refresh_keeps_in_mind_what_is_not_ready(yard):
    with pytest.raises(automation.CommandError):
        yard.up(lambda: yard.deployment(replicas=1, annotations=SOON))
    yard.refresh()
    assert yard.resources()["app"]["initErrors"] == [
        f"Deployment {yard.namespace}/app is there, but it is not ready: 0 of 1 pods are available"
    ]


def test_an_exceeded_quota_is_named(yard):
    yard.create("resourcequotas", "none", spec={"hard": {"pods": "0"}})
    with pytest.raises(automation.CommandError, match="exceeded quota: none"):
        yard.up(lambda: yard.deployment(replicas=1, annotations=SOON))


def test_the_wait_ends_when_the_pods_are_ready(yard):
    with ThreadPoolExecutor() as pool:
        run = pool.submit(yard.up, lambda: yard.deployment(replicas=1))
        yard.run_pod(yard.first_pod())
        assert run.result() == {"create": 1}
    assert yard.resources()["app"]["outputs"]["status"]["readyReplicas"] == 1


def test_nobody_waits_for_what_is_not_to_be_waited_for(yard):
    assert yard.up(lambda: yard.deployment(replicas=1, annotations={"pulumi.com/skipAwait": "true"})) == {"create": 1}


def test_a_failed_job_is_an_error_at_once(yard):
    pod = {"containers": [{"name": "main", "image": "none"}], "restart_policy": "Never"}
    spec = {"active_deadline_seconds": 1, "template": {"spec": pod}}
    with pytest.raises(automation.CommandError, match="the Job failed: Job was active longer than specified deadline"):
        yard.up(lambda: Job("train", metadata=yard.named("train"), spec=spec))


def test_a_kind_and_an_object_of_it_come_in_one_up(yard):
    group = f"{yard.namespace}.example.org"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}

    def program():
        CustomResourceDefinition(
            "kinds",
            metadata={"name": f"things.{group}"},
            spec={
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        )
        CustomResource(
            "one",
            api_version=f"{group}/v1",
            kind="Thing",
            metadata=yard.named("one", annotations={"pulumi.com/deletionPropagationPolicy": "background"}),
            spec={"size": 2},
        )

    assert yard.up(program) == {"create": 2}
    assert yard.get(f"{group}/v1/things/one")["spec"] == {"size": 2}
    assert yard.up(program) == {"same": 2}
    yard.destroy()


def test_a_finalizer_that_holds_an_object_is_named(yard):
    metadata = yard.named("held", finalizers=["example.org/hold"], annotations=SOON)
    yard.up(lambda: ConfigMap("held", metadata=metadata))
    with pytest.raises(automation.CommandError, match=r"not gone after 1 s.*held by its finalizers .*example.org/hold"):
        yard.destroy()
    yard.patch("configmaps/held", {"metadata": {"finalizers": None}})
