"""Taints that pods put up with, as settings."""

from typing import Literal

from modelyard_infra.parts import PartSettings


class Toleration(PartSettings):
    """https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]

    def document(self) -> dict[str, str | int]:
        """As a pod has it."""
        value = {"value": self.value} if self.operator == "Equal" else {}
        return {"key": self.key, "operator": self.operator, "effect": self.effect, **value}
