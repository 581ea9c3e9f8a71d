import pytest

from tests.support.providers.kubernetes.waiting import (
    Around,
    Verdict,
    is_awaited,
    is_deletion_awaited,
    patience,
    verdict,
)

SEEN = {"observedGeneration": 2}


def object_of(api_version, kind, spec=None, status=None, annotations=None):
    metadata = {"name": "one", "generation": 2, "annotations": annotations or {}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec or {}, "status": status or {}}


def of(api_version, kind, spec=None, status=None, *, around=Around(), annotations=None):  # noqa: B008
    return verdict(object_of(api_version, kind, spec, status, annotations), around)


def conditions(**statuses):
    return [{"type": name, "status": status, "message": f"{name} message"} for name, status in statuses.items()]


def test_what_has_no_rule_is_ready():
    assert of("v1", "ConfigMap").ready


def test_a_change_that_its_controller_has_not_seen_is_not_ready():
    status = {"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1}
    assert not of("apps/v1", "Deployment", {"replicas": 1}, status).ready


def test_a_new_deployment_without_status_is_not_ready():
    assert not of("apps/v1", "Deployment", {"replicas": 0}).ready


def test_a_deployment_without_replicas_is_ready():
    assert of("apps/v1", "Deployment", {"replicas": 0}, SEEN).ready


@pytest.mark.parametrize(
    ("updated", "all_of_them", "available", "why"),
    [
        (1, 3, 2, "1 of 2 pods are up to date"),
        (2, 3, 3, "1 old pods have not ended"),
        (2, 2, 1, "1 of 2 pods are available"),
        (2, 2, 2, ""),
    ],
)
def test_a_deployment_waits_for_new_pods_then_old_ones_then_availability(updated, all_of_them, available, why):
    counts = {"updatedReplicas": updated, "replicas": all_of_them, "availableReplicas": available}
    assert of("apps/v1", "Deployment", {"replicas": 2}, SEEN | counts) == Verdict(not why, why)


def test_a_stateful_set_waits_for_its_new_revision():
    revisions = {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1, "readyReplicas": 2}
    assert of("apps/v1", "StatefulSet", {"replicas": 2}, SEEN | revisions).why == "1 of 2 pods are up to date"


def test_a_stateful_set_does_not_wait_for_pods_below_its_partition():
    spec = {"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}
    revisions = {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1, "readyReplicas": 2}
    assert of("apps/v1", "StatefulSet", spec, SEEN | revisions).ready


def test_a_daemon_set_wants_a_pod_on_each_node():
    status = SEEN | {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}
    assert of("apps/v1", "DaemonSet", {}, status).why == "2 of 3 nodes have an available pod"


def test_a_failed_job_is_not_waited_for():
    found = of("batch/v1", "Job", {}, {"conditions": conditions(Failed="True")})
    assert found == Verdict(False, "the Job failed: Failed message", failed=True)


def test_a_complete_job_is_ready():
    assert of("batch/v1", "Job", {}, {"conditions": conditions(Complete="True")}).ready


def test_a_running_job_says_how_far_it_is():
    assert of("batch/v1", "Job", {"completions": 3}, {"succeeded": 1}).why == "1 of 3 pods have succeeded"


@pytest.mark.parametrize(
    ("status", "ready", "failed"),
    [
        ({"phase": "Pending"}, False, False),
        ({"phase": "Running", "conditions": conditions(Ready="True")}, True, False),
        ({"phase": "Succeeded"}, True, False),
        ({"phase": "Failed"}, False, True),
    ],
)
def test_a_pod_is_ready_when_it_says_so_or_has_done_its_work(status, ready, failed):
    found = of("v1", "Pod", {}, status)
    assert (found.ready, found.failed) == (ready, failed)


def test_a_service_waits_for_a_ready_pod():
    slices = ({"endpoints": [{"conditions": {"ready": False}}]},)
    assert not of("v1", "Service", {"selector": {"app": "a"}}, around=Around(endpoint_slices=slices)).ready


def test_a_service_with_a_ready_pod_is_ready():
    slices = ({"endpoints": [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}]},)
    assert of("v1", "Service", {"selector": {"app": "a"}}, around=Around(endpoint_slices=slices)).ready


@pytest.mark.parametrize(
    "spec",
    [{}, {"selector": {"app": "a"}, "clusterIP": "None"}, {"selector": {"app": "a"}, "type": "ExternalName"}],
)
def test_a_service_that_needs_no_pods_is_ready(spec):
    assert of("v1", "Service", spec).ready


def test_a_load_balancer_waits_for_its_address():
    assert of("v1", "Service", {"type": "LoadBalancer"}).why == "the load balancer has no address"
    assert of("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}).ready


def test_a_claim_waits_until_it_is_bound():
    assert not of("v1", "PersistentVolumeClaim", {}, {"phase": "Pending"}).ready
    assert of("v1", "PersistentVolumeClaim", {}, {"phase": "Bound"}).ready


def test_a_claim_that_is_bound_with_its_first_pod_only_is_not_waited_for():
    around = Around(storage_class={"volumeBindingMode": "WaitForFirstConsumer"})
    assert of("v1", "PersistentVolumeClaim", {}, {"phase": "Pending"}, around=around).ready


def test_a_lost_claim_is_not_waited_for():
    assert of("v1", "PersistentVolumeClaim", {}, {"phase": "Lost"}).failed


def test_a_definition_whose_names_are_taken_is_not_waited_for():
    status = {"conditions": conditions(NamesAccepted="False")}
    assert of("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, status).failed


def test_an_api_service_waits_until_it_is_available():
    status = {"conditions": conditions(Available="False")}
    found = of("apiregistration.k8s.io/v1", "APIService", {}, status)
    assert found.why == "its condition Available is False: Available message"


def test_a_condition_can_be_asked_for():
    asked = {"pulumi.com/waitFor": "condition=Programmed"}
    assert not of("gateway.networking.k8s.io/v1", "Gateway", annotations=asked).ready
    status = {"conditions": conditions(Programmed="True")}
    assert of("gateway.networking.k8s.io/v1", "Gateway", {}, status, annotations=asked).ready


@pytest.mark.parametrize(("value", "ready", "gone"), [("true", False, False), ("ready", False, True), ("", True, True)])
def test_waiting_can_be_switched_off(value, ready, gone):
    wanted = object_of("v1", "Pod", annotations={"pulumi.com/skipAwait": value})
    assert (is_awaited(wanted), is_deletion_awaited(wanted)) == (ready, gone)


@pytest.mark.parametrize(("custom", "annotation", "seconds"), [(30, "5", 30), (0, "5", 5), (0, "", 600), (0, "x", 600)])
def test_the_option_goes_before_the_annotation_and_that_before_ten_minutes(custom, annotation, seconds):
    wanted = object_of("v1", "Pod", annotations={"pulumi.com/timeoutSeconds": annotation})
    assert patience(wanted, custom) == seconds
