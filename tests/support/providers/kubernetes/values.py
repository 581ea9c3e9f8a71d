"""Between the protocol's structs and Python's values: what is secret, what is not known yet."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from tests.support.providers.kubernetes.errors import Unsupported

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWNS = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # a string, and what has no type
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # a list
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    }
)

Path = tuple[str | int, ...]


class Unknown(Enum):
    """Stands for a value that only comes to be during the update."""

    UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True)
class Properties:
    """A resource's inputs or outputs, and the paths of what is secret in them."""

    value: dict[str, Any]
    secrets: frozenset[Path] = field(default_factory=frozenset)

    @property
    def has_unknowns(self) -> bool:
        return any(leaf is UNKNOWN for _, leaf in leaves(self.value))

    def secret_texts(self) -> set[str]:
        """The texts that are secret, plain and as base64 (the way a Secret's `data` has them)."""
        found = {leaf for path in self.secrets for _, leaf in leaves(at(self.value, path)) if isinstance(leaf, str)}
        found = {text for text in found if len(text) >= 4}  # a shorter one is in everything
        return found | {base64.b64encode(text.encode()).decode() for text in found}


def read(message: Struct) -> Properties:
    """The properties in a struct; what is null in an object is left out.

    Raises:
        Unsupported: an asset or a resource's reference is among them.
    """
    secrets: set[Path] = set()
    value = _read(MessageToDict(message), (), secrets)
    return Properties(value, frozenset(secrets))


def write(properties: Properties) -> Struct:
    """The struct that says the same."""
    message = Struct()
    message.update(_write(properties.value, (), properties.secrets))
    return message


def at(value: Any, path: Iterable[str | int]) -> Any:
    """What lies at a path, None if nothing does."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in it that is neither object nor list, with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def secrets_of(inputs: Properties, outputs: dict[str, Any]) -> frozenset[Path]:
    """What is secret in outputs: all that was secret in the inputs, wherever it went, and all that a Secret holds."""
    paths = {path for path in inputs.secrets if at(outputs, path) is not None}
    texts = inputs.secret_texts()
    paths |= {path for path, leaf in leaves(outputs) if isinstance(leaf, str) and any(text in leaf for text in texts)}
    return frozenset(paths) | contents_of_secret(outputs)


def contents_of_secret(value: Mapping[str, Any]) -> frozenset[Path]:
    """`data` and `stringData`, if it is a Secret that has them."""
    if value.get("kind") != "Secret" or value.get("apiVersion") != "v1":
        return frozenset()
    return frozenset((key,) for key in ("data", "stringData") if key in value)


def _read(value: Any, path: Path, secrets: set[Path]) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value in _UNKNOWNS:
        return UNKNOWN
    if isinstance(value, list):
        return [_read(item, (*path, index), secrets) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    signature = value.get(_SIGNATURE)
    if signature is None:
        return {key: _read(item, (*path, key), secrets) for key, item in value.items() if item is not None}
    if signature not in (_SECRET, _OUTPUT):
        raise Unsupported(f"the asset or reference at {'.'.join(map(str, path))!r}")
    if signature == _SECRET or value.get("secret"):
        secrets.add(path)
    return _read(value["value"], path, secrets) if "value" in value else UNKNOWN


def _write(value: Any, path: Path, secrets: frozenset[Path]) -> Any:
    if value is UNKNOWN:
        written: Any = UNKNOWN.value
    elif isinstance(value, Mapping):
        written = {key: _write(item, (*path, key), secrets) for key, item in value.items()}
    elif isinstance(value, list):
        written = [_write(item, (*path, index), secrets) for index, item in enumerate(value)]
    else:
        written = value
    return {_SIGNATURE: _SECRET, "value": written} if path and path in secrets else written
