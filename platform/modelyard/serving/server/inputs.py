"""How requests become what a predictor takes; one class for each way to ask a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.serving.server import invocations
from modelyard.serving.server.columns import ColumnInputs
from modelyard.serving.server.datatypes import OF_COLUMN
from modelyard.serving.server.errors import RequestError, did_you_mean, listed
from modelyard.serving.server.interface import Decoded
from modelyard.serving.server.predictors import matrix
from modelyard.serving.server.signature import Column, Tensor
from modelyard.serving.server.tensors import Array, InputTensor, as_array


class FrameInputs:
    """Named columns, typed one by one.

    Args:
        columns: Of the signature.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = ColumnInputs(columns)

    def from_plain(self, tensors: list[dict[str, Any]]) -> Decoded | None:
        """A shortcut for the plainest JSON requests; None: take the general way, which also says what is wrong."""
        found = self.columns.from_plain(tensors)
        return None if found is None else Decoded(found, found.rows)

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Decoded:
        """The inputs of a V2 request."""
        found = self.columns.from_tensors(tensors)
        return Decoded(found, found.rows)

    def from_json(self, body: Mapping[str, Any]) -> Decoded:
        """The inputs of an `/invocations` request as JSON."""
        found = invocations.columns_from_json(self.columns, body)
        return Decoded(found, found.rows)

    def from_csv(self, text: str) -> Decoded:
        """The inputs of an `/invocations` request as CSV."""
        found = invocations.columns_from_csv(self.columns, text)
        return Decoded(found, found.rows)


class MatrixInputs(FrameInputs):
    """Named columns of numbers, as one 2-D array.

    Args:
        columns: Of the signature; numbers only, none of them optional.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns)
        self._specs = columns
        self._expected = [(column.name, OF_COLUMN[column.type]) for column in columns]
        self.dtype = np.result_type(*(np.dtype(column.dtype) for column in columns))
        integers = [index for index, column in enumerate(columns) if np.dtype(column.dtype).kind == "i"]
        self._uniform = len({column.type for column in columns}) == 1
        self._integers = np.array(integers, dtype=int)
        self._largest = np.array([float(np.iinfo(np.dtype(columns[index].dtype)).max) for index in integers])
        self._is_integer = [np.dtype(column.dtype).kind == "i" for column in columns]
        # float32 could overflow unseen, and a mixture with it rounds twice: the general way looks after both.
        self._has_shortcut = not any(column.type == "float" for column in columns)

    def from_plain(self, tensors: list[dict[str, Any]]) -> Decoded | None:
        """All columns in the signature's order and types, without nesting or missing values: one array at once."""
        if len(tensors) != len(self._expected) or not self._has_shortcut:
            return None
        flat: list[Any] = []
        rows = -1
        try:
            for (name, datatype), integer, tensor in zip(self._expected, self._is_integer, tensors, strict=True):
                data = tensor["data"]
                if rows < 0:
                    rows = len(data)
                    shapes = ([rows], [rows, 1])
                if tensor["name"] != name or tensor["datatype"] != datatype or len(data) != rows:
                    return None
                if tensor["shape"] not in shapes or type(data) is not list:
                    return None
                if "parameters" in tensor and "binary_data_size" in tensor["parameters"]:
                    return None
                if integer and not self._uniform and set(map(type, data)) != {int}:
                    return None
                flat += data
            allowed = {int} if self._uniform and self._is_integer[0] else {int, float}
            if rows < 1 or not set(map(type, flat)) <= allowed:
                return None
            found = np.array(flat, dtype=self.dtype)
        except (KeyError, TypeError, OverflowError, ValueError):
            return None
        result = found.reshape(len(self._expected), rows).T
        if rows > 1:
            result = np.ascontiguousarray(result)
        return Decoded(result, rows) if self._in_range(result) else None

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Decoded:
        """The inputs of a V2 request."""
        found = self.columns.from_tensors(tensors)
        return Decoded(matrix(found, self.dtype), found.rows)

    def from_json(self, body: Mapping[str, Any]) -> Decoded:
        """The inputs of an `/invocations` request as JSON."""
        plain = invocations.matrix_from_json(self._specs, body)
        if plain is not None:
            return Decoded(plain, len(plain))
        found = invocations.columns_from_json(self.columns, body)
        return Decoded(matrix(found, self.dtype), found.rows)

    def from_csv(self, text: str) -> Decoded:
        """The inputs of an `/invocations` request as CSV."""
        found = invocations.columns_from_csv(self.columns, text)
        return Decoded(matrix(found, self.dtype), found.rows)

    def _in_range(self, result: Array) -> bool:
        """Whether the whole numbers fit into their columns' types; `np.array` has looked itself if that is int64."""
        if not len(self._integers) or (self._uniform and self.dtype == np.int64):
            return True
        return bool((np.abs(result[:, self._integers]) < self._largest).all())


class TensorInputs:
    """Tensors with dtypes and shapes.

    Args:
        tensors: Of the signature.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._by_name = {tensor.name: tensor for tensor in tensors if tensor.name}

    def from_plain(self, tensors: list[dict[str, Any]]) -> Decoded | None:
        """There is no shortcut."""
        return None

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Decoded:
        """The inputs of a V2 request."""
        if not self._by_name:
            if len(tensors) != 1:
                raise RequestError(f"the model has one input; the request has {len(tensors)}")
            array = _checked(tensors[0], self._tensors[0])
            return Decoded(array, _rows([array]))
        found: dict[str, Array] = {}
        for tensor in tensors:
            if tensor.name not in self._by_name:
                hint = did_you_mean(tensor.name, self._by_name)
                raise RequestError(f"the model has no input {tensor.name!r}{hint}; it has {listed(self._by_name)}")
            if tensor.name in found:
                raise RequestError(f"input {tensor.name!r} is there twice")
            found[tensor.name] = _checked(tensor, self._by_name[tensor.name])
        if missing := [name for name in self._by_name if name not in found]:
            raise RequestError(f"required inputs are missing: {listed(missing)}")
        return Decoded({name: found[name] for name in self._by_name}, _rows(list(found.values())))

    def from_json(self, body: Mapping[str, Any]) -> Decoded:
        """The inputs of an `/invocations` request as JSON."""
        found = invocations.tensors_from_json(self._tensors, body)
        return Decoded(found, _rows(list(found.values()) if isinstance(found, dict) else [found]))

    def from_csv(self, text: str) -> Decoded:
        """Refused: CSV has no tensors."""
        raise RequestError("the model takes tensors, which CSV can't hold: send JSON")


class FreeInputs:
    """Whatever MLflow itself makes of a request, for signatures that only it knows how to enforce, or none.

    Args:
        model: A `PyFuncModel`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def from_plain(self, tensors: list[dict[str, Any]]) -> Decoded | None:
        """There is no shortcut."""
        return None

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Decoded:
        """A DataFrame if every tensor is a column, an array if there is one tensor, else a dict of arrays."""
        import pandas as pd

        arrays = {tensor.name: _decoded(tensor.name, as_array(tensor)) for tensor in tensors}
        if len(arrays) != len(tensors):
            raise RequestError("an input is there twice")
        if not arrays:
            raise RequestError("there are no inputs")
        rows = _rows(list(arrays.values()))
        if rows is not None and all(array.size == rows for array in arrays.values()):
            return Decoded(pd.DataFrame({name: array.reshape(-1) for name, array in arrays.items()}), rows)
        return Decoded(next(iter(arrays.values())) if len(arrays) == 1 else arrays, rows if len(arrays) == 1 else None)

    def from_json(self, body: Mapping[str, Any]) -> Decoded:
        """What MLflow's own server would hand to the model."""
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc.scoring_server import _parse_json_data

        try:
            data = _parse_json_data(dict(body), self._model.metadata, self._model.metadata.get_input_schema()).data
        except MlflowException as error:
            raise RequestError(str(error.message)) from error
        return Decoded(data, _rows_of(data))

    def from_csv(self, text: str) -> Decoded:
        """What MLflow's own server would hand to the model."""
        from io import StringIO

        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc.scoring_server import parse_csv_input

        try:
            data = parse_csv_input(StringIO(text), schema=self._model.metadata.get_input_schema())
        except MlflowException as error:
            raise RequestError(str(error.message)) from error
        return Decoded(data, len(data))


def _checked(tensor: InputTensor, spec: Tensor) -> Array:
    array = _decoded(tensor.name, as_array(tensor))
    wanted = np.dtype(spec.dtype)
    fits = array.dtype == wanted or (array.dtype.kind == "O" and wanted.kind in "OUS")
    if not fits:
        raise RequestError(f"input {tensor.name!r}: the model takes {wanted}, not {tensor.datatype}")
    if len(array.shape) != len(spec.shape) or any(
        want not in (-1, got) for want, got in zip(spec.shape, array.shape, strict=True)
    ):
        raise RequestError(f"input {tensor.name!r}: the model takes shape {list(spec.shape)}, not {list(array.shape)}")
    if wanted.kind == "U":
        return array.astype(str)
    return array


def _decoded(name: str, array: Array) -> Array:
    if array.dtype.kind != "O" or not any(type(one) is bytes for one in array.ravel()):
        return array
    result = np.empty(array.shape, dtype=object)
    try:
        result.ravel()[:] = [one.decode() if type(one) is bytes else one for one in array.ravel()]
    except UnicodeDecodeError as error:
        raise RequestError(f"input {name!r}: a value is not valid UTF-8: {error}") from error
    return result


def _rows(arrays: Sequence[Array]) -> int | None:
    lengths = {len(array) if array.ndim else None for array in arrays}
    return lengths.pop() if len(lengths) == 1 else None


def _rows_of(data: Any) -> int | None:
    if isinstance(data, np.ndarray):
        return len(data) if data.ndim else None
    return len(data) if type(data).__name__ == "DataFrame" else None
