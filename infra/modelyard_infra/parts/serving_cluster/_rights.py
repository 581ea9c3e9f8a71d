"""What the serving agent may do in its namespace, and nothing else."""

from collections.abc import Sequence
from typing import Any

from modelyard.serving.kubernetes.agent import LEASE
from modelyard.serving.kubernetes.controller import STATE

Document = dict[str, Any]
MAKES = ("create", "patch", "delete")
WATCHES = ("get", "list", "watch")


DEPLOYMENTS, INFERENCE_SERVICES = ("apps", "deployments"), ("serving.kserve.io", "inferenceservices")


def rules(workloads: tuple[str, str], owners: Sequence[str]) -> list[Document]:
    """Its role.

    Args:
        workloads: What it has versions run by: an API group, and objects of that.
        owners: ConfigMaps that it reads.
    """
    group, objects = workloads
    scaling = [_rule("autoscaling", ["horizontalpodautoscalers"], ("get", *MAKES))] if workloads == DEPLOYMENTS else []
    return [
        _rule("", ["pods"], WATCHES),
        _rule("", ["services"], ("get", *MAKES)),
        _rule(group, [objects], (*WATCHES, *MAKES)),
        *scaling,
        _rule("policy", ["poddisruptionbudgets"], ("get", *MAKES)),
        _rule("gateway.networking.k8s.io", ["httproutes"], (*WATCHES, *MAKES)),
        _rule("", ["configmaps"], ("get",), [*owners, STATE]),
        _rule("", ["configmaps"], ("update",), [STATE]),
        _rule("coordination.k8s.io", ["leases"], ("get", "update"), [LEASE]),
        # The first time there is no name yet that a rule could name.
        _rule("", ["configmaps"], ("create",)),
        _rule("coordination.k8s.io", ["leases"], ("create",)),
    ]


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Document:
    rule: Document = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})
