"""What keeps workloads from becoming ready, in the cluster's own words."""

from collections.abc import Iterator
from typing import Any

from lightkube import ApiError

from modelyard.kube.api import Api

Document = dict[str, Any]
_USUAL = {"PodInitializing", "ContainerCreating"}
_TELLING = {"FailedCreate", "ProvisioningFailed", "FailedAttachVolume", "FailedMount"}  # reasons of events


def of_pod(pod: Document) -> str:
    """What keeps a pod from starting; empty if nothing is known to."""
    status = pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"no node takes it: {scheduled.get('message', '')}"
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") and waiting["reason"] not in _USUAL:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
        ends = [container.get(state, {}).get("terminated", {}) for state in ("state", "lastState")]
        if any(end.get("reason") == "OOMKilled" for end in ends):
            return f"{container['name']} needed more memory than its limit"
    return ""


def look(api: Api) -> list[str]:
    """A line for each object of a namespace that something keeps from being ready."""
    return [*_pods(api), *_events(api), *_gateways(api)]


def _pods(api: Api) -> Iterator[str]:
    for pod in api.list("Pod", {})[0]:
        if pod.get("status", {}).get("phase") == "Succeeded":
            continue
        ended = [message for one in pod.get("status", {}).get("containerStatuses", []) if (message := _last_words(one))]
        if trouble := of_pod(pod) or " ".join(ended):
            said = f" ({ended[0]})" if ended and ended[0] not in trouble else ""
            yield f"pod {pod['metadata']['name']}: {trouble}{said}"


def _events(api: Api) -> Iterator[str]:
    """The last warning about each object that still exists; events of the past hour are kept by most clusters."""
    last: dict[tuple[str, str], Document] = {}
    for event in api.list("Event", {})[0]:
        if event.get("type") == "Warning" and event.get("reason") in _TELLING:
            about = event["involvedObject"]
            last[about["kind"], about["name"]] = event
    for (kind, name), event in sorted(last.items()):
        yield f"{kind} {name}: {event['message']}"


def _gateways(api: Api) -> Iterator[str]:
    """Those that nobody has taken on, or that can't be had."""
    try:
        gateways = api.list("Gateway", {})[0]
    except ApiError:
        return  # the cluster has no Gateway API, or isn't for asking
    for gateway in gateways:
        conditions = {one["type"]: one for one in gateway.get("status", {}).get("conditions", [])}
        missing = next(
            (one for one in ("Accepted", "Programmed") if conditions.get(one, {}).get("status") != "True"), ""
        )
        if missing:
            said = conditions.get(missing, {}).get("message", "nobody has looked at it yet")
            name, taken = gateway["metadata"]["name"], gateway["spec"]["gatewayClassName"]
            yield f"Gateway {name}: {said} (its class is {taken}; `kubectl get gatewayclasses` lists what there is)"


def _last_words(container: Document) -> str:
    """What a container that ended badly said at the end."""
    for state in ("state", "lastState"):
        end = container.get(state, {}).get("terminated", {})
        if end.get("exitCode") and end.get("message"):
            return str(end["message"]).strip().splitlines()[-1]
    return ""
