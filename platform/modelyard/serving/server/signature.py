"""A model's signature, read from its `MLmodel` without importing MLflow.

Format: https://mlflow.org/docs/latest/ml/model/signatures/ (each of `inputs`, `outputs` and `params` is a JSON string).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLAIN_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "object",
    "binary": "object",
    "datetime": "datetime64[ns]",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a column-based signature.

    Attributes:
        name: None: the signature has no names.
        type: An MLflow data type (`double`, …), or `array`, `object`, `map`, `any`.
    """

    name: str | None
    type: str
    required: bool = True

    @property
    def dtype(self) -> str:
        """The NumPy dtype that MLflow makes of it."""
        return PLAIN_TYPES[self.type]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a tensor-based signature.

    Attributes:
        shape: -1: any length.
    """

    name: str | None
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Param:
    """One inference parameter.

    Attributes:
        shape: None: a scalar; (-1,): a list.
    """

    name: str
    type: str
    default: Any
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes into a model and what comes out; an empty tuple: it doesn't say."""

    inputs: tuple[Column, ...] | tuple[Tensor, ...] = ()
    outputs: tuple[Column, ...] | tuple[Tensor, ...] = ()
    params: tuple[Param, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, if it has named columns of scalar types and nothing else."""
        found = tuple(one for one in self.inputs if isinstance(one, Column) and one.name and one.type in PLAIN_TYPES)
        return found if len(found) == len(self.inputs) else ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors, if it is tensor-based."""
        return tuple(one for one in self.inputs if isinstance(one, Tensor))


def read(document: Mapping[str, Any]) -> Signature:
    """The signature in an `MLmodel` document.

    Args:
        document: The parsed YAML.

    Raises:
        ValueError: there is one that isn't in MLflow's format.
    """
    found = document.get("signature")
    if not found or document.get("is_signature_from_type_hint"):
        return Signature()
    try:
        return Signature(
            inputs=_schema(found.get("inputs")),
            outputs=_schema(found.get("outputs")),
            params=tuple(_param(one) for one in json.loads(found.get("params") or "[]")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its signature is not in MLflow's format: {error!r}") from error


def _schema(text: str | None) -> tuple[Column, ...] | tuple[Tensor, ...]:
    every = json.loads(text or "[]")
    if every and every[0]["type"] == "tensor":
        return tuple(
            Tensor(one.get("name"), one["tensor-spec"]["dtype"], tuple(one["tensor-spec"]["shape"])) for one in every
        )
    return tuple(Column(one.get("name"), str(one["type"]), bool(one.get("required", True))) for one in every)


def _param(one: dict[str, Any]) -> Param:
    shape = one.get("shape")
    return Param(one["name"], str(one.get("type") or one.get("dtype")), one["default"], tuple(shape) if shape else None)
