"""What can go wrong, as the engine and the person in front of it hear of it."""

from dataclasses import dataclass
from typing import Any

# What the API server's validations say; there is no code for it.
_IMMUTABLE_MARKS = ("immutable", "may not change", "may not be changed", "cannot change", "updates to ")


class ProviderError(Exception):
    """Anything that ends an operation: the message is for the person who runs Pulumi."""


class Unsupported(ProviderError):
    """The official provider can do it, this one can't."""

    def __init__(self, what: str) -> None:
        super().__init__(f"this is the Kubernetes provider of Modelyard's tests, and it can't do {what}")


class Unreachable(ProviderError):
    """The API server doesn't answer, or there is no saying which it is."""


class Cancelled(ProviderError):
    """The engine asked to stop."""


class UnknownKind(ProviderError):
    """The API server doesn't have the kind, perhaps not yet."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(
            f"the API server has no kind {kind!r} in apiVersion {api_version!r}: "
            "is its CustomResourceDefinition installed, and does the resource depend on it?"
        )


class NotReady(ProviderError):
    """An object exists, but did not become what was asked for.

    Attributes:
        live: The object as it was last seen.
        reasons: Why, a sentence each.
    """

    def __init__(self, live: dict[str, Any], reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.live = live
        self.reasons = reasons


@dataclass(frozen=True)
class Cause:
    """One detail of a refusal: `field` is a path like `spec.selector`."""

    reason: str
    field: str
    message: str


class Refused(ProviderError):
    """The API server answered with an error.

    Attributes:
        code: HTTP's.
        reason: Kubernetes' own word for it, such as `NotFound`; empty where the answer was none of Kubernetes'.
    """

    def __init__(self, code: int, reason: str, message: str, causes: tuple[Cause, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.causes = causes

    @property
    def immutable_fields(self) -> list[str]:
        """Paths of the fields that can't be changed in place, if that is why it was refused."""
        if self.code != 422:
            return []
        return [one.field for one in self.causes if any(mark in one.message for mark in _IMMUTABLE_MARKS)]
