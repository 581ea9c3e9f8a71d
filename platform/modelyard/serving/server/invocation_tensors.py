"""Requests to `/invocations` for models with a tensor-based signature."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from modelyard.serving.server.bodies import form_of
from modelyard.serving.server.errors import RequestError, listed
from modelyard.serving.server.signature import Tensor
from modelyard.serving.server.tensors import Array
from modelyard.serving.server.values import ascii_bytes, numbers, strings


def tensors_from_json(tensors: Sequence[Tensor], body: Mapping[str, Any]) -> dict[str, Array] | Array:
    """The tensors of a request in one of MLflow's four forms.

    Args:
        tensors: Of the signature.
        body: The parsed request.

    Returns:
        Arrays by name, in the signature's order; the array itself if the signature has no names.

    Raises:
        RequestError: values, dtype and shape aren't what the signature says.
    """
    form, data = form_of(body)
    if form in ("dataframe_split", "dataframe_records"):
        return _from_frame(tensors, form, data)
    if not tensors[0].name:
        if type(data) is not list:
            raise RequestError(f"{form!r} has to be the input's values, nested like its shape {list(tensors[0].shape)}")
        return _array(tensors[0], data)
    return _named(tensors, form, data)


def _named(tensors: Sequence[Tensor], form: str, data: Any) -> dict[str, Array]:
    if type(data) is list and len(tensors) == 1 and not any(type(one) is dict for one in data):
        data = {tensors[0].name: data}
    if type(data) is list and data and form == "instances" and all(type(one) is dict for one in data):
        data = _by_name(tensors, data)
    if type(data) is not dict:
        also = ", or a list of objects" if form == "instances" else ""
        raise RequestError(f"{form!r} has to be an object with a list for each input{also}")
    if missing := [tensor.name for tensor in tensors if tensor.name not in data]:
        raise RequestError(f"required inputs are missing: {listed(map(str, missing))}")
    found = {name: _array(tensor, data[name]) for tensor in tensors if (name := tensor.name)}
    if form == "instances":
        lengths = {name: len(array) for name, array in found.items()}
        for name, length in lengths.items():
            if length != len(next(iter(found.values()))):
                raise RequestError(f"input {name!r} has {length} rows, others have {min(lengths.values())}")
    return found


def _by_name(tensors: Sequence[Tensor], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    for tensor in tensors:
        for at, row in enumerate(rows):
            if tensor.name not in row:
                raise RequestError(f"input {tensor.name!r}, row {at}: it is missing")
    return {name: [row[name] for row in rows] for tensor in tensors if (name := tensor.name)}


def _from_frame(tensors: Sequence[Tensor], form: str, data: Any) -> dict[str, Array] | Array:
    """A column for each input, whose cells are single values or flat lists; or, for one input, its columns."""
    names, rows = _rows(form, data)
    if not tensors[0].name and len(names) != 1:
        if tensors[0].shape != (-1, len(names)) or np.dtype(tensors[0].dtype).kind in "US":
            wanted = f"{tensors[0].dtype} of shape {list(tensors[0].shape)}"
            raise RequestError(f"{form}: {len(names)} columns can't be {wanted}: use 'inputs'")
        return _array(tensors[0], rows)
    found: dict[str, Array] = {}
    for tensor in tensors:
        name = tensor.name or names[0]
        if names.count(name) != 1:
            raise RequestError(f"{form} needs the column {name!r} once; it has {listed(map(str, names))}")
        found[str(name)] = _from_cells(tensor, f"input {name!r}", [row[names.index(name)] for row in rows])
    return found if tensors[0].name else next(iter(found.values()))


def _rows(form: str, data: Any) -> tuple[list[Any], list[list[Any]]]:
    """Names and equally long rows."""
    if form == "dataframe_records":
        if type(data) is not list or not data or not all(type(one) is dict for one in data):
            raise RequestError(f"{form} has to be a list of at least one object")
        first = list(data[0])
        if odd := next((at for at, one in enumerate(data) if one.keys() != data[0].keys()), None):
            raise RequestError(f"{form}: row {odd} has other columns than row 0")
        return first, [[one[name] for name in first] for one in data]
    if type(data) is not dict or not data.keys() <= {"columns", "data", "index"} or type(data.get("data")) is not list:
        raise RequestError(f"{form} has to be an object with 'columns', 'data' and maybe 'index'")
    rows = data["data"]
    if not rows or not all(type(row) is list and len(row) == len(rows[0]) for row in rows):
        raise RequestError(f"{form}: 'data' has to be a list of at least one row, all of them lists of the same length")
    names: Any = data.get("columns")
    index = data.get("index")
    if names is None:
        names = list(range(len(rows[0])))
    if type(names) is not list or len(names) != len(rows[0]) or any(type(name) in (list, dict) for name in names):
        raise RequestError(f"{form}: 'columns' has to be a list of {len(rows[0])} names, as many as a row has values")
    if index is not None and (type(index) is not list or len(index) != len(rows)):
        raise RequestError(f"{form}: 'index' has to be a list of {len(rows)} labels, one for each row")
    return names, rows


def _from_cells(tensor: Tensor, what: str, cells: list[Any]) -> Array:
    length = math.prod(tensor.shape[1:])
    if not tensor.shape or tensor.shape[0] != -1 or length < 0 or -1 in tensor.shape[1:]:
        raise RequestError(f"{what}: a DataFrame's column can't have shape {list(tensor.shape)}: use 'inputs'")
    if type(cells[0]) is list and cells[0][:1] == [None]:
        raise RequestError(f"{what}, row 0: a list can't start with null in a DataFrame: use 'inputs'")
    if not any(type(cell) is list for cell in cells):
        if tensor.shape not in ((-1,), (-1, 1)):
            raise RequestError(f"{what}: every cell has to be a flat list of {length} values")
        cells = [[cell] for cell in cells]
    for at, cell in enumerate(cells):
        if type(cell) is not list or len(cell) != length:
            raise RequestError(f"{what}, row {at}: it has to be a flat list of {length} values")
    flat = list(chain.from_iterable(cells))
    return _typed(what, flat, np.dtype(tensor.dtype)).reshape((len(cells), *tensor.shape[1:]))


def _array(tensor: Tensor, data: Any) -> Array:
    """Nested lists as an array of the signature's dtype and shape."""
    what = f"input {tensor.name!r}" if tensor.name else "the input"
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "O":
        return _objects(what, tensor, data)
    level, shape = data, []
    for depth, want in enumerate(tensor.shape):
        if depth and (set(map(type, level)) != {list} or len(set(map(len, level))) != 1):
            raise _misshapen(what, tensor, depth)
        if not depth and type(level) is not list:
            raise _misshapen(what, tensor, depth)
        shape.append(len(level[0]) if depth else len(level))
        if want not in (-1, shape[-1]):
            raise RequestError(f"{what}: axis {depth} has length {shape[-1]}; the shape is {list(tensor.shape)}")
        level = list(chain.from_iterable(level)) if depth else level
    if any(type(value) in (list, dict) for value in level):
        raise _misshapen(what, tensor, len(tensor.shape))
    return _typed(what, level, dtype).reshape(shape)


def _objects(what: str, tensor: Tensor, data: Any) -> Array:
    """Whatever JSON holds, as it is; with `-1` beyond the first axis MLflow also takes lists of different lengths."""
    try:
        array = np.array(data, dtype=object)
    except ValueError as error:
        raise _misshapen(what, tensor, 1) from error
    ragged = tensor.shape == (-1,) or (-1 in tensor.shape[1:] and array.ndim == 1)
    fits = len(array.shape) == len(tensor.shape) and all(
        want in (-1, got) for want, got in zip(tensor.shape, array.shape, strict=True)
    )
    if not (ragged or fits):
        raise RequestError(f"{what}: its shape is {list(array.shape)}, the model takes {list(tensor.shape)}")
    return array


def _typed(what: str, flat: list[Any], dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "U":
        return np.array(strings(what, flat).tolist(), dtype=str)
    if dtype.kind == "S":
        return np.array(ascii_bytes(what, flat).tolist(), dtype=bytes)
    return numbers(what, flat, dtype)


def _misshapen(what: str, tensor: Tensor, depth: int) -> RequestError:
    return RequestError(
        f"{what}: the lists don't have the shape {list(tensor.shape)} (-1: any length); they differ at depth {depth}"
    )
