"""When an object is ready, why not yet, and when it never will be: values in, a verdict out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

SKIP_ANNOTATION = "pulumi.com/skipAwait"
TIMEOUT_ANNOTATION = "pulumi.com/timeoutSeconds"
CONDITION_ANNOTATION = "pulumi.com/waitFor"
DEFAULT_TIMEOUT = 600.0  # seconds


@dataclass(frozen=True)
class Verdict:
    """Whether to go on waiting.

    Attributes:
        why: What is missing, or what went wrong; empty when it is ready.
        failed: Waiting longer won't help.
    """

    ready: bool
    why: str = ""
    failed: bool = False


READY = Verdict(True)


@dataclass(frozen=True)
class Around:
    """What a verdict needs to know besides the object.

    Attributes:
        endpoint_slices: A Service's.
        storage_class: A claim's; None if it names none, or there is none.
    """

    endpoint_slices: tuple[Object, ...] = ()
    storage_class: Object | None = None


def verdict(live: Object, around: Around) -> Verdict:
    """Whether an object, as the API server has it, is ready."""
    if not in_sight(live):
        return Verdict(False, "its controller has not seen the change yet")
    rule = _RULES.get((str(live.get("apiVersion", "")).partition("/")[0], str(live.get("kind", ""))))
    found = rule(live, around) if rule else READY
    wanted = annotations(live).get(CONDITION_ANNOTATION, "")
    if found.ready and wanted.startswith("condition="):
        return _by_condition(live, wanted.removeprefix("condition="))
    return found


def is_awaited(wanted: Object) -> bool:
    """Whether to wait until an object is ready."""
    return annotations(wanted).get(SKIP_ANNOTATION) not in ("true", "ready")


def is_deletion_awaited(wanted: Object) -> bool:
    """Whether to wait until an object is gone."""
    return annotations(wanted).get(SKIP_ANNOTATION) != "true"


def patience(wanted: Object, custom: float) -> float:
    """How long to wait, in seconds: the resource option's time, else the annotation's, else ten minutes."""
    try:
        return custom or float(annotations(wanted).get(TIMEOUT_ANNOTATION, "")) or DEFAULT_TIMEOUT
    except ValueError:
        return DEFAULT_TIMEOUT


def annotations(value: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = (value.get("metadata") or {}).get("annotations") or {}
    return found


def condition(live: Object, name: str) -> Object:
    """A condition of its status, by type; an empty one if it hasn't any."""
    conditions = _status(live).get("conditions") or []
    return next((one for one in conditions if one.get("type") == name), {})


def in_sight(live: Object) -> bool:
    """Whether the controller of a kind that says so has seen the newest specification."""
    seen = _status(live).get("observedGeneration")
    return not isinstance(seen, int) or seen >= (live.get("metadata") or {}).get("generation", 0)


def _status(live: Object) -> Mapping[str, Any]:
    return live.get("status") or {}


def _spec(live: Object) -> Mapping[str, Any]:
    return live.get("spec") or {}


def _count(have: int, want: int, what: str) -> Verdict:
    return READY if have >= want else Verdict(False, f"{have} of {want} {what}")


def _first_unready(*verdicts: Verdict) -> Verdict:
    return next((one for one in verdicts if not one.ready), READY)


def _deployment(live: Object, _: Around) -> Verdict:
    status, want = _status(live), _spec(live).get("replicas", 1)
    if "observedGeneration" not in status:
        return Verdict(False, "its controller has not seen it yet")
    updated, all_of_them = status.get("updatedReplicas", 0), status.get("replicas", 0)
    return _first_unready(
        _count(updated, want, "pods are up to date"),
        READY if all_of_them <= updated else Verdict(False, f"{all_of_them - updated} old pods have not ended"),
        _count(status.get("availableReplicas", 0), want, "pods are available"),
    )


def _stateful_set(live: Object, _: Around) -> Verdict:
    status, spec = _status(live), _spec(live)
    want, strategy = spec.get("replicas", 1), spec.get("updateStrategy") or {}
    if "observedGeneration" not in status:
        return Verdict(False, "its controller has not seen it yet")
    ready = _count(status.get("readyReplicas", 0), want, "pods are ready")
    if strategy.get("type") == "OnDelete" or status.get("currentRevision") == status.get("updateRevision"):
        return ready
    kept = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    return _first_unready(_count(status.get("updatedReplicas", 0), want - kept, "pods are up to date"), ready)


def _daemon_set(live: Object, _: Around) -> Verdict:
    status = _status(live)
    if "observedGeneration" not in status:
        return Verdict(False, "its controller has not seen it yet")
    want = status.get("desiredNumberScheduled", 0)
    return _first_unready(
        _count(status.get("updatedNumberScheduled", 0), want, "nodes have an up-to-date pod"),
        _count(status.get("numberAvailable", 0), want, "nodes have an available pod"),
    )


def _job(live: Object, _: Around) -> Verdict:
    failed = condition(live, "Failed")
    if failed.get("status") == "True":
        return Verdict(False, f"the Job failed: {failed.get('message') or failed.get('reason', '')}", failed=True)
    if condition(live, "Complete").get("status") == "True":
        return READY
    if _spec(live).get("suspend"):
        return Verdict(False, "the Job is suspended")
    return _count(_status(live).get("succeeded", 0), _spec(live).get("completions") or 1, "pods have succeeded")


def _pod(live: Object, _: Around) -> Verdict:
    phase = _status(live).get("phase", "Pending")
    if phase == "Failed":
        return Verdict(False, f"the pod failed: {_status(live).get('message', 'a container ended badly')}", failed=True)
    if phase == "Succeeded" or condition(live, "Ready").get("status") == "True":
        return READY
    return Verdict(False, f"the pod is {phase} and not ready")


def _service(live: Object, around: Around) -> Verdict:
    spec = _spec(live)
    if spec.get("type") == "LoadBalancer" and not (_status(live).get("loadBalancer") or {}).get("ingress"):
        return Verdict(False, "the load balancer has no address")
    if not spec.get("selector") or spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return READY
    endpoints = [one for piece in around.endpoint_slices for one in piece.get("endpoints") or []]
    if any((one.get("conditions") or {}).get("ready", True) for one in endpoints):
        return READY
    return Verdict(False, "no ready pod matches the Service's selector")


def _claim(live: Object, around: Around) -> Verdict:
    phase = _status(live).get("phase", "Pending")
    if phase == "Lost":
        return Verdict(False, "the claim lost its volume", failed=True)
    if phase == "Bound" or (around.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer":
        return READY
    return Verdict(False, f"the claim is {phase}")


def _namespace(live: Object, _: Around) -> Verdict:
    phase = _status(live).get("phase", "")
    return READY if phase == "Active" else Verdict(False, f"the namespace is {phase or 'new'}")


def _definition(live: Object, _: Around) -> Verdict:
    names = condition(live, "NamesAccepted")
    if names.get("status") == "False":
        return Verdict(False, f"its names are not accepted: {names.get('message', '')}", failed=True)
    return _by_condition(live, "Established")


def _by_condition(live: Object, wanted: str) -> Verdict:
    name, _, status = wanted.partition("=")
    found = condition(live, name)
    if found.get("status") == (status or "True"):
        return READY
    why = found.get("message") or found.get("reason") or "nothing is known yet"
    return Verdict(False, f"its condition {name} is {found.get('status', 'missing')}: {why}")


_RULES: dict[tuple[str, str], Callable[[Object, Around], Verdict]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("v1", "Pod"): _pod,
    ("v1", "Service"): _service,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "Namespace"): _namespace,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): lambda live, _: _by_condition(live, "Available"),
}
