"""A model version's objects, as documents: values in, documents out."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from modelyard.serving.kubernetes import kserve, names
from modelyard.serving.kubernetes.settings import GRPC, HTTP, ControllerSettings, ModelSettings
from modelyard.serving.world import VersionKey

Document = dict[str, Any]
MODELS = "/models"
FILES = f"{MODELS}/model"  # of the one model in a pod; its digests are beside it
MANIFEST = f"{FILES}.json"
FETCH = "MODELYARD_FETCH"  # the variable that says which files a pod gets
ROLLING: Document = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def version_objects(
    settings: ControllerSettings, key: VersionKey, source: str, *, replicas: int, running: int | None
) -> list[Document]:
    """All that a version consists of; what sees to its pods comes first.

    Args:
        settings: The agent's.
        key: Which version.
        source: Where its files are.
        replicas: How many it should have at least.
        running: How many its Deployment has now; None: there is none.
    """
    most = _most(settings, key, replicas)
    if settings.runtime:
        found = [_inference_service(settings, key, source, replicas, most), _service(settings, key)]
    else:
        count = min(max(running or replicas, replicas), most)
        found = [_deployment(settings, key, source, count), _service(settings, key)]
        if most > replicas:
            found.append(_autoscaler(settings, key, replicas, most))
    if replicas > 1:
        found.append(_disruption_budget(settings, key))
    return found


def owned(document: Document, owner: Document) -> Document:
    """The document as one that goes when its owner goes."""
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    return document | {"metadata": document["metadata"] | {"ownerReferences": [reference]}}


def version_of(workload: Document) -> VersionKey:
    """The version that a Deployment or InferenceService made here is of."""
    found = workload["metadata"]
    return found["annotations"][names.MODEL], int(found["labels"][names.VERSION])


def replicas_of(workload: Document) -> int:
    """How many replicas a version's Deployment or InferenceService says that there are at least."""
    spec = workload["spec"]
    return int(spec["predictor"]["minReplicas"] if "predictor" in spec else spec.get("replicas", 1))


def source_of(workload: Document) -> str:
    """Where the files of such a version are; empty if it doesn't say."""
    spec = workload["spec"]
    pod = spec["predictor"] if "predictor" in spec else spec["template"]["spec"]
    given = [one for container in pod.get("initContainers", []) for one in container.get("env", [])]
    fetched = next((one["value"] for one in given if one["name"] == FETCH), "{}")
    return str(json.loads(fetched).get("source", ""))


def _deployment(settings: ControllerSettings, key: VersionKey, source: str, replicas: int) -> Document:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": _selector(key)},
        "strategy": ROLLING,
        "progressDeadlineSeconds": int(settings.ready_seconds),
        "revisionHistoryLimit": 2,
        "template": _template(settings, key, source),
    }
    return _object("apps/v1", "Deployment", settings, key, spec)


def _inference_service(
    settings: ControllerSettings, key: VersionKey, source: str, replicas: int, most: int
) -> Document:
    assert settings.runtime is not None
    pod = _template(settings, key, source)
    busy = settings.scaling.busy_percent
    spec = kserve.spec(settings.runtime, key, pod, least=replicas, most=most, busy_percent=busy, rolling=ROLLING)
    document = _object("serving.kserve.io/v1beta1", "InferenceService", settings, key, spec)
    metadata = document["metadata"]
    metadata["labels"] |= kserve.LABELS
    metadata["annotations"] |= kserve.annotations(grows=_may_grow(settings, key) is not None)
    return document


def _template(settings: ControllerSettings, key: VersionKey, source: str) -> Document:
    """The pod template, with what is this version's."""
    template = deepcopy(settings.pod)
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = metadata.get("labels", {}) | _selector(key)
    metadata["annotations"] = metadata.get("annotations", {}) | {names.MODEL: key[0]}
    spec = template["spec"]
    for spread in spec.get("topologySpreadConstraints", []):  # a version's replicas, not those of all models together
        spread["labelSelector"] = {"matchLabels": spread["labelSelector"]["matchLabels"] | _selector(key)}
    fetch = {"name": key[0], "version": key[1], "source": source, "folder": FILES, "manifest": MANIFEST}
    served = {
        "name": key[0],
        "version": str(key[1]),
        "folder": FILES,
        "manifest": MANIFEST,
        "allow_pickle": key[0] in settings.allow_pickle,
    }
    (fetching,), (server,) = spec["initContainers"], spec["containers"]
    _give(fetching, {FETCH: json.dumps(fetch)})
    _give(server, {"MODELYARD_SERVED": json.dumps(served)})
    if own := settings.models.get(key[0]):
        _place(spec, server, own)
    return template


def _give(container: Document, environment: Mapping[str, str]) -> None:
    container["env"] = [*container.get("env", []), *({"name": k, "value": v} for k, v in environment.items())]


def _place(spec: Document, server: Document, own: ModelSettings) -> None:
    """What the stack says of this model's pods."""
    resources = server["resources"]
    if own.cpu:
        resources["requests"]["cpu"] = own.cpu
    if own.memory:
        resources["requests"]["memory"] = resources["limits"]["memory"] = own.memory
    for device, count in own.devices.items():
        resources["requests"][device] = resources["limits"][device] = str(count)
    if own.node_selector:
        spec["nodeSelector"] = spec.get("nodeSelector", {}) | own.node_selector
    if own.tolerations:
        spec["tolerations"] = [*spec.get("tolerations", []), *own.tolerations]


def _service(settings: ControllerSettings, key: VersionKey) -> Document:
    ports: list[Document] = [{"name": HTTP, "port": 80, "targetPort": HTTP}]
    if settings.grpc:
        ports.append({"name": GRPC, "port": 81, "targetPort": GRPC, "appProtocol": "kubernetes.io/h2c"})
    return _object("v1", "Service", settings, key, {"selector": _selector(key), "ports": ports})


def _autoscaler(settings: ControllerSettings, key: VersionKey, least: int, most: int) -> Document:
    scaling = settings.scaling
    busy = {"type": "Utilization", "averageUtilization": scaling.busy_percent}
    metrics: list[Document] = [{"type": "Resource", "resource": {"name": "cpu", "target": busy}}]
    if scaling.requests_in_flight:
        target = {"type": "AverageValue", "averageValue": str(scaling.requests_in_flight)}
        metrics.append({"type": "Pods", "pods": {"metric": {"name": "modelyard_requests_in_flight"}, "target": target}})
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.of_version(*key)},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": metrics,
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", settings, key, spec)


def _disruption_budget(settings: ControllerSettings, key: VersionKey) -> Document:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _selector(key)}}
    return _object("policy/v1", "PodDisruptionBudget", settings, key, spec)


def _most(settings: ControllerSettings, key: VersionKey, replicas: int) -> int:
    return max(_may_grow(settings, key) or replicas, replicas)


def _may_grow(settings: ControllerSettings, key: VersionKey) -> int | None:
    """How many replicas the stack allows; None: as many as it was deployed with."""
    own = settings.models.get(key[0])
    return (own.most_replicas if own else None) or settings.scaling.most_replicas


def _object(version: str, kind: str, settings: ControllerSettings, key: VersionKey, spec: Document) -> Document:
    metadata = {
        "name": names.of_version(*key),
        "namespace": settings.namespace,
        "labels": settings.labels | _selector(key),
        "annotations": {names.MODEL: key[0]},
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _selector(key: VersionKey) -> Document:
    return {names.MODEL: names.short(key[0]), names.VERSION: str(key[1])}
