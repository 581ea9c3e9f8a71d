"""Why something is not ready or not gone, read from the objects that say so."""

from collections.abc import Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]


def of_replicas(live: Object) -> list[str]:
    """Why no pods could be made, such as an exceeded quota."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return [
        f"{one.get('reason', '')}: {one.get('message', '')}"
        for one in conditions
        if (one.get("type") == "ReplicaFailure" and one.get("status") == "True")
        or (one.get("type") == "Progressing" and one.get("status") == "False")
    ]


def of_pod(pod: Object) -> list[str]:
    """Why a pod isn't running: where it can't be scheduled, what its containers wait for or ended with."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    found = [
        f"pod {name} is not scheduled: {one.get('reason', '')}: {one.get('message', '')}"
        for one in status.get("conditions") or []
        if one.get("type") == "PodScheduled" and one.get("status") == "False"
    ]
    for container in _containers(status):
        where = f"container {container.get('name')} of pod {name}"
        waits = (container.get("state") or {}).get("waiting") or {}
        ended = _ended(container)
        if waits.get("reason"):
            found.append(f"{where} waits: {': '.join(filter(None, (waits['reason'], waits.get('message'))))}")
        if ended.get("exitCode"):
            found.append(f"{where} ended with exit code {ended['exitCode']}: {ended.get('reason', 'Error')}")
    return found


def of_events(events: Sequence[Object]) -> list[str]:
    """The last three warnings about an object."""
    said = [f"{one.get('reason', '')}: {one.get('message', '')}" for one in events]
    return list(dict.fromkeys(said))[-3:]


def of_deletion(live: Object) -> list[str]:
    """What keeps an object that is to be deleted: finalizers; of a namespace, what is left in it."""
    metadata = live.get("metadata") or {}
    finalizers = [*(metadata.get("finalizers") or []), *((live.get("spec") or {}).get("finalizers") or [])]
    found = [f"it is held by its finalizers {', '.join(finalizers)}"] if finalizers else []
    if live.get("kind") == "Namespace":
        conditions = (live.get("status") or {}).get("conditions") or []
        found += [one["message"] for one in conditions if one.get("status") == "True" and one.get("message")]
    return found


def failed_containers(pod: Object) -> list[str]:
    """The containers of a pod that ended badly."""
    return [one["name"] for one in _containers(pod.get("status") or {}) if _ended(one).get("exitCode")]


def _containers(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _ended(container: Object) -> Object:
    """How a container ended, now or the last time."""
    states = (container.get("state") or {}, container.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})
