"""What the providers of local resources share: plain errors, clean inputs, a diff that looks at the live thing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult
from pulumi.runtime.rpc import UNKNOWN

from modelyard.errors import ModelyardError

Inputs: TypeAlias = dict[str, Any]


class LocalProvider(ResourceProvider):
    """A resource on this machine, identified by its inputs alone.

    A kind of resource says how to make it (`make` also adopts and mends what is there), what tells the live
    thing from the wanted one, and how to unmake it.
    """

    serialize_as_secret_always = False  # it has no state, so there is nothing in it to hide
    replaced_by: ClassVar[tuple[str, ...]] = ("folder",)
    """Inputs that can't change without making another one."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """Properties that only `make` sets."""

    def identity(self, inputs: Inputs) -> str:
        """What the resource is called in the state; the same inputs always give the same one."""
        raise NotImplementedError

    def make(self, inputs: Inputs) -> Inputs:
        """Make it so; returns outputs beside the inputs."""
        raise NotImplementedError

    def difference(self, inputs: Inputs) -> str | None:
        """Why the live thing isn't what the inputs say, in words; None if it is."""
        raise NotImplementedError

    def unmake(self, inputs: Inputs) -> None:
        """Remove it; nothing happens if it is gone already."""
        raise NotImplementedError

    def mend(self, inputs: Inputs) -> Inputs:
        """Bring what the state knows to the inputs; as `make`, unless making it anew would lose something."""
        return self.make(inputs)

    def _with_outputs(self, olds: Inputs, news: Inputs) -> Inputs:
        """The wanted inputs, and what `make` returned the last time."""
        return _clean(news) | {key: olds[key] for key in self.outputs if olds.get(key) is not None}

    def create(self, props: Inputs) -> CreateResult:
        with _errors_for_people():
            return CreateResult(self.identity(props), outs=_clean(props) | self.make(_clean(props)))

    def update(self, _id: str, _olds: Inputs, _news: Inputs) -> UpdateResult:
        with _errors_for_people():
            return UpdateResult(outs=_clean(_news) | self.mend(self._with_outputs(_olds, _news)))

    def diff(self, _id: str, _olds: Inputs, _news: Inputs) -> DiffResult:
        with _errors_for_people():
            olds, news = _clean(_olds), self._with_outputs(_olds, _news)
            changed = {key for key in olds.keys() | news.keys() if olds.get(key) != news.get(key)} - set(self.outputs)
            replaces = sorted(changed.intersection(self.replaced_by))
            if not changed and not _has_unknown(news):
                reason = self.difference(news)
                if reason:
                    print(f"{_id}: {reason}", file=sys.stderr)
                    return DiffResult(changes=True)
            return DiffResult(changes=bool(changed), replaces=replaces, delete_before_replace=True)

    def read(self, id_: str, props: Inputs) -> ReadResult:
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: Inputs) -> None:
        with _errors_for_people():
            self.unmake(_clean(_props))


def _clean(props: Inputs) -> Inputs:
    return {key: value for key, value in props.items() if not key.startswith("__")}


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """Keep the provider's traceback from burying what a person has to read."""
    try:
        yield
    except ModelyardError:
        sys.tracebacklimit = 0
        raise
