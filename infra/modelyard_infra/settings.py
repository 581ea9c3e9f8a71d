"""The whole configuration of one stack, validated before anything is created."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from modelyard.errors import ModelyardError
from modelyard_infra.parts import HOLD_DATA, ORDER, Kind, PartSettings, load

NAMESPACE = "modelyard"
T = TypeVar("T", bound=BaseModel)
FOREIGN_NAMESPACES = ("aws", "kubernetes", "pulumi")


class General(BaseModel):
    """What concerns the stack as a whole.

    Attributes:
        protect: Refuse to destroy what holds data until it is unprotected.
        minimum_free_mib: What must be free on the disk of a local platform before it is made, in MiB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    protect: bool = True
    minimum_free_mib: Annotated[int, Field(ge=0)] = 2048


@dataclass(frozen=True)
class ChosenPart:
    """One part as the stack asks for it."""

    kind: Kind
    settings: PartSettings
    migrated_from: str | None


@dataclass(frozen=True)
class StackSettings:
    """One stack, as its file says it."""

    stack: str
    general: General
    parts: Mapping[str, ChosenPart]

    @classmethod
    def read(cls, stack: str, config: Mapping[str, Any], file: Path, project: str = NAMESPACE) -> "StackSettings":
        """Validate a stack's configuration.

        Args:
            stack: The stack's name.
            config: Its whole configuration: `namespace:key` → value, decoded or still as JSON text.
            file: Where it was written, for messages.
            project: The project's name: Pulumi.yaml's defaults, and keys without a namespace, come under it.

        Raises:
            ModelyardError: names the first thing that is wrong, its place, what is valid, and the nearest valid key.
        """
        where = _Place(file)
        _refuse_keys_that_are_no_text(dict.fromkeys(config), where, ())
        values = _own_values(config, project, where)
        _refuse_keys_that_are_no_text(values, where, ())
        _refuse_unknown(values, (*General.model_fields, *ORDER), where, ())
        general = _validated(General, {k: v for k, v in values.items() if k in General.model_fields}, where, ())
        parts = {part: _part(part, values[part], where) for part in ORDER if part in values}
        if not parts:
            raise ModelyardError(f"{file} names no part", fix=f"the parts are: {', '.join(ORDER)}")
        _refuse_missing_needs(parts, where)
        _refuse_two_places(parts, where)
        _refuse_missing_images(parts, where)
        _refuse_misfits(parts, where)
        _refuse_shared_ports(parts, where)
        _refuse_protected_but_not_durable(general, parts, where)
        return cls(stack, general, parts)


class _Place:
    """Finds the line of a key in the stack's file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, path: Iterable[str]) -> str:
        keys = list(path)
        name = ".".join([f"{NAMESPACE}:{keys[0]}", *keys[1:]]) if keys else ""
        line = self._line(["config", f"{NAMESPACE}:{keys[0]}", *keys[1:]]) if keys else None
        return f"{self.file}{f':{line}' if line else ''}: {name}"

    def _line(self, keys: list[str]) -> int | None:
        try:
            node = yaml.compose(self.file.read_text())
        except (OSError, yaml.YAMLError):
            return None
        line = None
        for key in keys:
            if not isinstance(node, yaml.MappingNode):
                break
            match = next(((name, value) for name, value in node.value if name.value == key), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        return line


def _own_values(config: Mapping[str, Any], project: str, where: _Place) -> dict[str, Any]:
    """Our keys, without their namespace; what is written as `modelyard:key` comes before the project's defaults."""
    values: dict[str, Any] = {}
    for full_key, value in sorted(config.items(), key=lambda item: not item[0].startswith(f"{NAMESPACE}:")):
        namespace, _, key = full_key.rpartition(":")
        if namespace in (NAMESPACE, project, ""):
            values.setdefault(key, _decoded(value))
        elif namespace not in FOREIGN_NAMESPACES:
            raise ModelyardError(
                f"{where.file}: {full_key}: unknown namespace {namespace!r}", fix=f"did you mean {NAMESPACE}:{key}?"
            )
    return values


def _decoded(value: Any) -> Any:
    """Pulumi hands numbers and booleans over as strings; whoever reads the stack's file must see the same values."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _part(part: str, value: Any, where: _Place) -> ChosenPart:
    if not isinstance(value, dict):
        raise ModelyardError(
            f"{where([part])} is {value!r}, not a mapping", fix=f"write it as `{NAMESPACE}:{part}: {{kind: process}}`"
        )
    fields = dict(value)
    name = fields.pop("kind", None)
    if not isinstance(name, str):
        raise ModelyardError(f"{where([part])} says no kind", fix=f"write `kind:` and one of {part}'s kinds")
    try:
        kind = load(part, name)
    except ModelyardError as error:
        raise ModelyardError(f"{where([part, 'kind'])}: {error.what}", fix=error.fix) from None
    migrated_from = fields.pop("migrated_from", None) if part in HOLD_DATA else None
    if not isinstance(migrated_from, str | None):
        raise ModelyardError(
            f"{where([part, 'migrated_from'])} is {migrated_from!r}, not a kind's name",
            fix=f"write the kind that {part}'s data was moved from",
        )
    settings = _validated(kind.settings, fields, where, (part,))
    return ChosenPart(kind, settings, migrated_from)


def _validated(model: type[T], values: dict[str, Any], where: _Place, path: tuple[str, ...]) -> T:
    try:
        # As JSON: strict models then still take a list for a tuple, and what has no YAML type of its own, as text.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key also makes the right one missing: the misspelling is what to say.
        first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        raise _readable(model, first, where, path) from None


def _readable(model: type[BaseModel], problem: ErrorDetails, where: _Place, path: tuple[str, ...]) -> ModelyardError:
    owner, inside = _owner(model, tuple(str(step) for step in problem["loc"]))
    steps = (*path, *inside)
    if problem["type"] == "extra_forbidden":
        valid = sorted(owner.model_fields) + (["kind"] if path and owner is model else [])
        if "secret" in owner.model_fields and steps[-1].endswith(("password", "key", "token")):
            return ModelyardError(
                f"{where(steps)} is not a setting: secrets don't belong into this file",
                fix=f"put it into a Secret of the platform's namespace, and name that as `secret`; valid here: "
                f"{', '.join(valid)}",
            )
        return _unknown_key(steps, valid, where)
    if problem["type"] == "missing":
        return ModelyardError(f"{where(steps)} is missing", fix=_expected(owner, inside))
    said = problem["msg"].removeprefix("Value error, ")
    return ModelyardError(f"{where(steps)} is {problem['input']!r}: {said}", fix=_expected(owner, inside))


def _owner(model: type[BaseModel], loc: tuple[str, ...]) -> tuple[type[BaseModel], tuple[str, ...]]:
    """The model that the last step of a place belongs to, and the place as a person would write it.

    pydantic puts the tag of a union's chosen member into the place; nobody writes that.
    """
    keys: list[str] = []
    for step in loc:
        inside = keys[-1] if keys else ""
        tagged = _members(model, inside).get(step)
        if tagged is not None:
            model = tagged
            continue
        model = _nested(model, inside) or model
        keys.append(step)
    return model, tuple(keys)


def _nested(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of a field that is one by itself, or may be left out."""
    models = _models(model, key)
    return models[0] if len(models) == 1 and "kind" not in models[0].model_fields else None


def _members(model: type[BaseModel], key: str) -> dict[str, type[BaseModel]]:
    """The members of a field that is a union told apart by `kind`, by that kind."""
    models = [one for one in _models(model, key) if "kind" in one.model_fields]
    return {str(get_args(one.model_fields["kind"].annotation)[0]): one for one in models}


def _models(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    field = model.model_fields.get(key)
    return _inside(field.annotation) if field else []


def _inside(annotation: Any) -> list[type[BaseModel]]:
    """The model that this is, or those of a union, however deep in it they are written."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for option in get_args(annotation) for found in _inside(option)]


def _expected(model: type[BaseModel], keys: tuple[str, ...]) -> str:
    field = model.model_fields.get(keys[-1]) if keys else None
    if field is None:
        return ""
    if _members(model, keys[-1]):
        return f"its kinds are: {', '.join(_members(model, keys[-1]))}"
    name = getattr(field.annotation, "__name__", str(field.annotation))
    return f"expected {name}; left out, it is {field.default!r}" if not field.is_required() else f"expected {name}"


def _refuse_keys_that_are_no_text(value: Any, where: _Place, path: tuple[str, ...]) -> None:
    """Refuse YAML's other keys, at any depth: numbers, dates, and `on` or `no`, which mean true and false."""
    if isinstance(value, list):
        for item in value:
            _refuse_keys_that_are_no_text(item, where, path)
    if not isinstance(value, Mapping):
        return
    for key, inside in value.items():
        if not isinstance(key, str):
            inside_of = where(path) if path else str(where.file)
            raise ModelyardError(
                f"{inside_of}: the key {key!r} is of type {type(key).__name__}, not text",
                fix="every setting has a name; a name that YAML takes for something else needs quotes",
            )
        _refuse_keys_that_are_no_text(inside, where, (*path, key))


def _refuse_unknown(values: Mapping[str, Any], valid: Iterable[str], where: _Place, path: tuple[str, ...]) -> None:
    known = list(valid)
    for key in values:
        if key not in known:
            raise _unknown_key((*path, key), known, where)


def _unknown_key(steps: tuple[str, ...], valid: list[str], where: _Place) -> ModelyardError:
    near = difflib.get_close_matches(steps[-1], valid, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return ModelyardError(f"{where(steps)} is not a setting", fix=f"{guess}valid here: {', '.join(sorted(valid))}")


def _refuse_missing_needs(parts: Mapping[str, ChosenPart], where: _Place) -> None:
    for part, chosen in parts.items():
        missing = [need for need in chosen.kind.needs if need not in parts]
        if missing:
            raise ModelyardError(
                f"{where([part])} (kind {chosen.kind.name}) needs {', '.join(missing)}, which the stack doesn't name",
                fix=f"add `{NAMESPACE}:{missing[0]}:` with a kind, or leave {part} out",
            )


def _refuse_two_places(parts: Mapping[str, ChosenPart], where: _Place) -> None:
    """Refuse parts that could not reach each other: some in a cluster, some on this machine."""
    inside = [part for part, chosen in parts.items() if chosen.kind.in_cluster]
    outside = [part for part in parts if part not in (*inside, "images", "cluster")]
    if inside and outside:
        raise ModelyardError(
            f"{where([outside[0], 'kind'])} is {parts[outside[0]].kind.name!r}, which runs on this machine, and "
            f"{inside[0]} is {parts[inside[0]].kind.name!r}, which runs in a cluster: they could not reach each other",
            fix="choose kinds that run in one place for all parts",
        )


def _refuse_missing_images(parts: Mapping[str, ChosenPart], where: _Place) -> None:
    known = getattr(parts["images"].settings, "references", {}) if "images" in parts else {}
    for part, chosen in parts.items():
        for image in chosen.kind.images:
            if image not in known:
                raise ModelyardError(
                    f"{where([part])} (kind {chosen.kind.name}) runs the image {image!r}, which isn't among "
                    f"{NAMESPACE}:images' references",
                    fix=f"`make images IMAGES={image} PUSH=<your registry>` builds it and prints what to write there",
                )


def _refuse_misfits(parts: Mapping[str, ChosenPart], where: _Place) -> None:
    others = {part: chosen.settings for part, chosen in parts.items()}
    for part, chosen in parts.items():
        for key, what, fix in chosen.kind.misfits(chosen.settings, others):
            raise ModelyardError(f"{where([part, key])}: {what}", fix=fix)


def _refuse_shared_ports(parts: Mapping[str, ChosenPart], where: _Place) -> None:
    taken: dict[int, str] = {}
    for part, chosen in parts.items():
        for key, value in chosen.settings:
            if (key == "port" or key.endswith("_port")) and isinstance(value, int):
                if value in taken:
                    raise ModelyardError(
                        f"{where([part, key])} is {value}, and so is {taken[value]}", fix="give each its own port"
                    )
                taken[value] = f"{part}.{key}"


def _refuse_protected_but_not_durable(general: General, parts: Mapping[str, ChosenPart], where: _Place) -> None:
    for part, chosen in parts.items():
        if general.protect and getattr(chosen.settings, "durability", None) == "fast":
            raise ModelyardError(
                f"{where([part, 'durability'])} is 'fast' while modelyard:protect is true: "
                "a crash of the machine could lose what is protected",
                fix="set `modelyard:protect: false` for a throw-away platform, or leave durability out",
            )
