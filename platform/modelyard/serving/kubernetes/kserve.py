"""A version as an InferenceService: https://kserve.github.io/website/docs/reference/crd-api

KServe makes its Deployment, in Standard mode (called RawDeployment before 0.16): without Knative, and so without its
canaries. Requests are shared by our own routes, as everywhere.
"""

from typing import Any

from modelyard.serving.world import VersionKey

Document = dict[str, Any]
FORMAT = "mlflow"  # what the ServingRuntime says that it serves
PROTOCOL = "v2"
LABELS = {"networking.kserve.io/visibility": "cluster-local"}  # no route of KServe's own beside ours
MODE = "RawDeployment"  # the name that all its versions know
SERVER, FETCH = "kserve-container", "storage-initializer"  # what KServe calls containers; it adds none that is there
OF_RUNTIME = ("volumes", "imagePullSecrets")  # of a pod; where models' pods go is said of each


def annotations(*, grows: bool) -> dict[str, str]:
    """How KServe treats it.

    Args:
        grows: Whether there are ever more replicas than it was deployed with. Where not, their number is the
            Deployment's own, and is there at once; an autoscaler comes to it fifteen seconds later.
    """
    return {
        "serving.kserve.io/deploymentMode": MODE,
        "serving.kserve.io/autoscalerClass": "hpa" if grows else "none",
    }


def runtime(pod: Document) -> Document:
    """A ServingRuntime's `spec`: what all models have in common.

    Args:
        pod: The template of a model server's pod.
    """
    of_pod = {key: pod["spec"][key] for key in OF_RUNTIME if key in pod["spec"]}
    return of_pod | {
        "supportedModelFormats": [{"name": FORMAT, "autoSelect": False}],
        "protocolVersions": [PROTOCOL, "grpc-v2"],
        "multiModel": False,
        "containers": pod["spec"]["containers"],
    }


def without_runtime(pod: Document) -> Document:
    """The rest of the template, which every InferenceService says itself."""
    of_pod = {key: value for key, value in pod["spec"].items() if key not in OF_RUNTIME}
    (server,) = of_pod["containers"]
    server = {"name": server["name"], "resources": server["resources"]}
    return pod | {"spec": of_pod | {"containers": [server]}}


def spec(
    runtime: str, key: VersionKey, pod: Document, *, least: int, most: int, busy_percent: int, rolling: Document
) -> Document:
    """Its own `spec`.

    Args:
        runtime: The ServingRuntime's name.
        key: Which version it is. KServe takes an InferenceService without a `storageUri` for a server of many models,
            and fetches nothing where that is MLflow's own name of the version.
        pod: A version's template, without what is the runtime's.
        least: Replicas that it has at least,
        most: and at most, while they are busy:
        busy_percent: of the processor time that they ask for.
        rolling: How its Deployment replaces pods.
    """
    pod_spec = dict(pod["spec"])
    (server,) = pod_spec.pop("containers")
    predictor: Document = pod_spec | {
        "labels": pod["metadata"]["labels"],
        "annotations": pod["metadata"]["annotations"],
        "minReplicas": least,
        "maxReplicas": most,
        "deploymentStrategy": rolling,
        "model": {
            "modelFormat": {"name": FORMAT},
            "protocolVersion": PROTOCOL,
            "runtime": runtime,
            "storageUri": f"models:/{key[0]}/{key[1]}",
            "env": server["env"],
            "resources": _resources(server["resources"]),
        },
    }
    if most > least:
        predictor |= {"scaleMetric": "cpu", "scaleTarget": busy_percent}
    return {"predictor": predictor}


def _resources(wanted: Document) -> Document:
    """With a limit of processor time: where there is none, KServe sets one that may be less than what is asked for."""
    cpu = str(wanted["requests"]["cpu"])
    cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return wanted | {"limits": {"cpu": cpu if cores > 1 else "1"} | wanted["limits"]}
