"""How model servers' pods are, as replicas."""

import time
from collections.abc import Iterable
from typing import Any

from modelyard.kube import troubles
from modelyard.serving.kubernetes import names
from modelyard.serving.kubernetes.settings import REFUSED
from modelyard.serving.world import Replica

Document = dict[str, Any]


class Sightings:
    """When each pod was first seen, on this process's clock: the API server's may be wrong by any amount."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def replicas(self, found: Iterable[Document]) -> tuple[Replica, ...]:
        """Pods of model servers as replicas; those that are gone are forgotten."""
        now = time.monotonic()
        models = [pod for pod in found if names.MODEL in pod["metadata"].get("annotations", {})]
        self._since = {uid: self._since.get(uid, now) for uid in (pod["metadata"]["uid"] for pod in models)}
        return tuple(replica_of(pod, self._since[pod["metadata"]["uid"]]) for pod in models)


def replica_of(pod: Document, since: float = 0.0) -> Replica:
    """A pod that the agent's Deployments made, as a replica.

    Args:
        pod: With its status.
        since: When it was first seen.
    """
    metadata, status = pod["metadata"], pod.get("status", {})
    before, server = status.get("initContainerStatuses", []), status.get("containerStatuses", [])
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    ends = [end for one in before if (end := _end(one)) and end["exitCode"] != 0]
    ends += [end for one in server if (end := _end(one))]
    return Replica(
        name=metadata["name"],
        model=metadata["annotations"][names.MODEL],
        version=int(metadata["labels"][names.VERSION]),
        index=0,
        port=0,
        since=since,
        ready=conditions.get("Ready", {}).get("status") == "True",
        starts=1 + max((one.get("restartCount", 0) for one in (*before, *server)), default=0),
        active=0,
        removing="deletionTimestamp" in metadata,
        refuses=any(end["exitCode"] == REFUSED for end in ends),
        log="\n".join(end["message"].strip() for end in ends if end.get("message")),
        trouble=troubles.of_pod(pod),
    )


def address(pod: Document) -> str | None:
    """Where it is reached, once it has an address."""
    ip = pod.get("status", {}).get("podIP")
    return f"[{ip}]" if ip and ":" in ip else ip


def _end(container: Document) -> Document | None:
    """How a container ended, if it did."""
    ends = [container.get(state, {}).get("terminated") for state in ("state", "lastState")]
    return next((end for end in ends if end is not None), None)
