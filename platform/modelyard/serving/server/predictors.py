"""The ways to ask a model, fastest first; which one a model gets is decided when it is loaded (`loading.proof`)."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from modelyard.serving.server.columns import Columns, joined
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.outputs import Output, output
from modelyard.serving.server.tensors import Array

Path = Literal["matrix", "columns", "frame", "tensors", "pyfunc"]


class Predictor(Protocol):
    """One way to ask a model. Data is what this way takes; every method may be called from any thread."""

    path: Path

    def __call__(self, data: Any, params: dict[str, Any]) -> Output:
        """Predict all rows."""

    def kind(self, data: Any) -> Hashable:
        """Data of one kind can be joined; None: this can't."""

    def join(self, many: Sequence[Any]) -> Any:
        """Rows of several requests, one after the other."""

    def part(self, data: Any, start: int, end: int) -> Any:
        """Some rows of one request."""


class MatrixPredictor:
    """A 2-D array, one column per input, all of one number type."""

    path: Path = "matrix"

    def __init__(self, native: Native) -> None:
        assert native.matrix
        self._ask = native.matrix

    def __call__(self, data: Array, params: dict[str, Any]) -> Output:
        return self._ask(data)

    def kind(self, data: Array) -> Hashable:
        return "matrix"

    def join(self, many: Sequence[Array]) -> Array:
        return many[0] if len(many) == 1 else np.concatenate(many)

    def part(self, data: Array, start: int, end: int) -> Array:
        return data[start:end]


class ColumnsPredictor:
    """Columns as they are."""

    path: Path = "columns"

    def __init__(self, native: Native) -> None:
        assert native.columns
        self._ask = native.columns

    def __call__(self, data: Columns, params: dict[str, Any]) -> Output:
        return self._ask(data)

    def kind(self, data: Columns) -> Hashable:
        return data.kind

    def join(self, many: Sequence[Columns]) -> Columns:
        return joined(many)

    def part(self, data: Columns, start: int, end: int) -> Columns:
        return data.part(start, end)


class FramePredictor(ColumnsPredictor):
    """A DataFrame of the signature's columns."""

    path: Path = "frame"

    def __init__(self, native: Native) -> None:
        assert native.frame
        self._ask = native.frame

    def __call__(self, data: Columns, params: dict[str, Any]) -> Output:
        return self._ask(frame(data))


class TensorPredictor:
    """One array, or arrays by input name."""

    path: Path = "tensors"

    def __init__(self, native: Native) -> None:
        assert native.tensors
        self._ask = native.tensors

    def __call__(self, data: Any, params: dict[str, Any]) -> Output:
        return self._ask(data)

    def kind(self, data: Any) -> Hashable:
        if isinstance(data, dict):
            return tuple((name, value.dtype.str, value.shape[1:]) for name, value in data.items())
        return (data.dtype.str, data.shape[1:])

    def join(self, many: Sequence[Any]) -> Any:
        if len(many) == 1:
            return many[0]
        if isinstance(many[0], dict):
            return {name: np.concatenate([one[name] for one in many]) for name in many[0]}
        return np.concatenate(many)

    def part(self, data: Any, start: int, end: int) -> Any:
        if isinstance(data, dict):
            return {name: value[start:end] for name, value in data.items()}
        return data[start:end]


class PyfuncPredictor:
    """MLflow's own way, with whatever it takes: DataFrames, arrays, dicts, lists.

    Args:
        model: A `PyFuncModel`.
        names: Output names of the signature.
    """

    path: Path = "pyfunc"

    def __init__(self, model: Any, names: Sequence[str] = ()) -> None:
        self._model = model
        self._names = names

    def __call__(self, data: Any, params: dict[str, Any]) -> Output:
        if isinstance(data, Columns):
            data = frame(data)
        return output(self._model.predict(data, params=params) if params else self._model.predict(data), self._names)

    def kind(self, data: Any) -> Hashable:
        if isinstance(data, Columns):
            return data.kind
        if isinstance(data, np.ndarray) and data.ndim:
            return (data.dtype.str, data.shape[1:])
        if type(data).__name__ == "DataFrame":
            return tuple(zip(data.columns, map(str, data.dtypes), strict=True))
        return None

    def join(self, many: Sequence[Any]) -> Any:
        if len(many) == 1:
            return many[0]
        if isinstance(many[0], Columns):
            return joined(many)
        if isinstance(many[0], np.ndarray):
            return np.concatenate(many)
        import pandas as pd

        return pd.concat(many, ignore_index=True)

    def part(self, data: Any, start: int, end: int) -> Any:
        if isinstance(data, Columns):
            return data.part(start, end)
        return data[start:end] if isinstance(data, np.ndarray) else data.iloc[start:end]


def frame(columns: Columns) -> Any:
    """Columns as the DataFrame that MLflow would hand to the model."""
    import pandas as pd

    return pd.DataFrame(columns.values)


def matrix(columns: Columns, dtype: np.dtype[Any]) -> Array:
    """Columns as a 2-D array in C order, of the dtype that `DataFrame.to_numpy` would choose.

    Args:
        columns: Numbers only.
        dtype: The common type of the columns.
    """
    result = np.empty((columns.rows, len(columns.values)), dtype=dtype)
    for index, values in enumerate(columns.values.values()):
        result[:, index] = values
    return result
