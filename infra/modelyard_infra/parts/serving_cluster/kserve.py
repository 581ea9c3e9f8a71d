"""Serving cluster by KServe: model servers as InferenceServices, for teams whose models are all to be found there.

Creates: what the kind `kubernetes` does, and a ServingRuntime of Modelyard's model server. The serving agent makes an
InferenceService of each version, in KServe's Standard mode; requests are shared by the agent's own routes, so canaries,
keys and metrics are the same. The cluster has KServe already.
"""

from typing import Any

from pulumi import Output, ResourceOptions
from pydantic import field_validator

from modelyard.serving.kubernetes import kserve
from modelyard_infra.contracts import ServingEndpoint
from modelyard_infra.part_inputs import PartInputs
from modelyard_infra.parts.serving_cluster import _rights, kubernetes

NEEDS = kubernetes.NEEDS
IMAGES = kubernetes.IMAGES
RUNTIME = "modelyard-model-server"
RUNTIMES, SERVICES = "serving.kserve.io/v1alpha1", "serving.kserve.io/v1beta1"


class Settings(kubernetes.Settings):
    """Settings of model serving by KServe: those of the kind `kubernetes`, but `requests_in_flight`."""

    @field_validator("requests_in_flight")
    @classmethod
    def _by_processors_alone(cls, value: int | None) -> int | None:
        if value is not None:
            raise ValueError("KServe's own autoscaler looks at processors alone: set busy_percent, or kind: kubernetes")
        return value


def apis(settings: Settings) -> dict[str, str]:
    """What others have to have installed in the cluster."""
    install = "install KServe: https://kserve.github.io/website/docs/admin-guide/overview (or set kind: kubernetes)"
    return kubernetes.apis(settings) | {RUNTIMES: install, SERVICES: install}


misfits = kubernetes.misfits


class KServeServing(kubernetes.KubernetesServing):
    """Model serving in the platform's namespace, by KServe."""

    owner = "serving-cluster-owner-kserve"
    server, fetch = kserve.SERVER, kserve.FETCH
    workloads = _rights.INFERENCE_SERVICES

    def _run_by(self, pod: Output[dict[str, Any]]) -> tuple[Output[dict[str, Any]], Output[str | None]]:
        made = self._objects.custom(RUNTIMES, "ServingRuntime", RUNTIME, pod.apply(kserve.runtime))
        name: Output[str | None] = made.urn.apply(lambda _: RUNTIME)
        return pod.apply(kserve.without_runtime), name


def build(settings: Settings, inputs: PartInputs) -> ServingEndpoint:
    """Build the part."""
    return KServeServing(settings, inputs, ResourceOptions(parent=inputs.parent)).endpoint
