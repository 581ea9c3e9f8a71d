"""Remembers of which kind a part is, so that one which holds data can't change kind by accident."""

from typing import Any

from pulumi import ResourceOptions
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from modelyard_infra.resources.local import Inputs, LocalProvider


class PartKindProvider(LocalProvider):
    """Refuses another kind in `check`, which runs before anything of the part is touched, also in a preview."""

    replaced_by = ()

    def identity(self, inputs: Inputs) -> str:
        return str(inputs["part"])

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        before, now = _olds.get("kind"), news["kind"]
        if before in (None, now) or news.get("migrated_from") == before:
            return CheckResult(news, [])
        reason = (
            f"{news['part']} holds data and is of kind {before!r}: it can't become {now!r} without losing that data. "
            f"Move the data first, then say so with `migrated_from: {before}` beside `kind: {now}`"
        )
        return CheckResult(news, [CheckFailure("kind", reason)])

    def make(self, inputs: Inputs) -> Inputs:
        return {}

    def difference(self, inputs: Inputs) -> str | None:
        return None

    def unmake(self, inputs: Inputs) -> None:
        pass


class PartKind(Resource, module="modelyard", name="PartKind"):
    """The kind of a part that holds data.

    Args:
        resource_name: Its name in the stack.
        part: The part.
        kind: Its kind now.
        migrated_from: The kind whose data was moved here, if it changed.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        part: str,
        kind: str,
        migrated_from: str | None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"part": part, "kind": kind, "migrated_from": migrated_from}
        super().__init__(PartKindProvider(), resource_name, inputs, opts)
