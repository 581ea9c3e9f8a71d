"""Rows to try a model with: its input example, and rows made from its signature."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from modelyard.serving.server.columns import Columns, objects
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.interface import Decoded, Inputs
from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.signature import Column, Tensor
from modelyard.serving.server.tensors import Array

ROWS = 24
EXAMPLE = "the input example"
_NUMBERS = (0.0, 1.0, -1.0, 0.5, 3.0, 12.0, 1e3, -1e3, 1e6, 1e-6)


def example(files: ModelFiles, inputs: Inputs) -> Decoded | None:
    """The model's input example as a request; None: it has none that can be served.

    Args:
        files: The model's.
        inputs: How requests are read.
    """
    info = files.document.get("saved_input_example_info") or {}
    path = files.folder / str(info.get("serving_input_path") or "serving_input_example.json")
    if not path.is_file():
        return None
    try:
        body = orjson.loads(path.read_bytes())
        return inputs.from_json(body)
    except (ValueError, RequestError):
        return None


def rows(columns: tuple[Column, ...], known: Columns | None = None, *, missing: bool = False) -> Columns:
    """Rows of a column-based signature: around what is known, and well beside it.

    Args:
        columns: Of the signature.
        known: The input example, if there is one.
        missing: With missing values where a column's type has such.
    """
    choose = random.Random(1)  # noqa: S311 (the same rows at every start)
    values = {}
    for column in columns:
        name = str(column.name)
        examples = list(known.values[name]) if known and name in known.values else []
        values[name] = _values(column, examples, choose, missing=missing)
    return Columns(ROWS, values)


def _values(column: Column, examples: list[Any], choose: random.Random, *, missing: bool) -> Array:
    if column.type in ("string", "binary"):
        texts = [*examples, *examples, "", "x", "never seen before"]
        made: list[Any] = [choose.choice(texts) for _ in range(ROWS)]
        if missing:
            made[:: ROWS // 4] = [None] * len(made[:: ROWS // 4])
        if column.type == "binary":
            made = [one.encode() if isinstance(one, str) else one for one in made]
        return objects(made)
    if column.type == "datetime":
        days = [choose.randrange(0, 20_000) for _ in range(ROWS)]
        times = np.array(days, dtype="datetime64[D]").astype("datetime64[ns]")
        if missing:
            times[:: ROWS // 4] = np.datetime64("NaT")
        return times
    if column.type == "boolean":
        return np.array([choose.random() < 0.5 for _ in range(ROWS)])
    near = [float(one) * choose.choice((1, 1, 0.9, 1.1, -1)) for one in examples if one == one]  # noqa: PLR0124 (NaN)
    numbers = [choose.choice([*near, *near, *_NUMBERS]) for _ in range(ROWS)]
    dtype = np.dtype(column.dtype)
    if dtype.kind == "i":
        return np.array([round(one) for one in numbers], dtype=dtype)
    if missing:
        for at in range(choose.randrange(3), ROWS, ROWS // 4):
            numbers[at] = float("nan")
    return np.array(numbers, dtype=dtype)


def tensors(specs: tuple[Tensor, ...], length: int = 3) -> dict[str, Array] | Array:
    """Arrays of a tensor-based signature; a dimension of any length gets `length`."""
    choose = np.random.default_rng(1)
    made: dict[str, Array] = {}
    for index, spec in enumerate(specs):
        shape, dtype = [length if one == -1 else one for one in spec.shape], np.dtype(spec.dtype)
        if dtype.kind in "OUS":
            array = np.full(shape, "x", dtype=dtype if dtype.kind != "S" else object)
        elif dtype.kind == "b":
            array = choose.random(shape) < 0.5
        else:
            array = (choose.standard_normal(shape) * (3 if dtype.kind in "iu" else 1)).astype(dtype)
        made[spec.name or str(index)] = array
    return made if specs[0].name else next(iter(made.values()))


def batches(files: ModelFiles, known: Columns | None) -> Iterator[tuple[str, Columns]]:
    """Batches of rows to compare two ways of asking a column-based model with, each with a word about what it is."""
    columns = files.signature.columns
    if known:
        yield EXAMPLE, known
    yield "generated rows", rows(columns, known)
    yield "rows with missing values", rows(columns, known, missing=True)
    if any(not column.required for column in columns):
        required = tuple(column for column in columns if column.required)
        if required:
            yield "rows without optional columns", rows(required, known)


def params(files: ModelFiles) -> Mapping[str, Any]:
    """The defaults of the signature's parameters."""
    return {one.name: one.default for one in files.signature.params}
