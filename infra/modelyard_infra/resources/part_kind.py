"""Remembers of which kind a part is and where its data is, so that one which holds data can't leave it by accident."""

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi import ResourceOptions
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from modelyard_infra.resources.local import Inputs, LocalProvider


class PartKindProvider(LocalProvider):
    """Refuses another kind or place in `check`, which runs before anything of the part is touched, in a preview too."""

    replaced_by = ()

    def identity(self, inputs: Inputs) -> str:
        return str(inputs["part"])

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        before, now = _olds.get("kind"), news["kind"]
        if before is None or news.get("migrated_from") == before:
            return CheckResult(news, [])
        if before == now:
            return CheckResult(news, list(self._moves(_olds.get("place") or {}, news)))
        reason = (
            f"{news['part']} holds data and is of kind {before!r}: it can't become {now!r} without losing that data. "
            f"Move the data first, then say so with `migrated_from: {before}` beside `kind: {now}`"
        )
        return CheckResult(news, [CheckFailure("kind", reason)])

    def _moves(self, before: dict[str, str], news: dict[str, Any]) -> Iterator[CheckFailure]:
        """Changes of settings that say where data is."""
        now = news.get("place") or {}
        for key in sorted(before.keys() & now.keys()):
            if before[key] != now[key]:
                yield CheckFailure(
                    "place",
                    f"{news['part']}.{key} can't change from {before[key]!r} to {now[key]!r}: what is there would be "
                    f"left behind. Put `{key}: {before[key]}` back; or move the data first, then say so with "
                    f"`migrated_from: {news['kind']}`",
                )

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
        place: The settings that say where its data is.
        migrated_from: The kind whose data was moved here, if it changed.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        part: str,
        kind: str,
        place: Mapping[str, str],
        migrated_from: str | None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"part": part, "kind": kind, "place": dict(place), "migrated_from": migrated_from}
        super().__init__(PartKindProvider(), resource_name, inputs, opts)
