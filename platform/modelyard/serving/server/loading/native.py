"""A flavour's own model, loaded without MLflow, and what MLflow would make of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.serving.server.columns import Columns
from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.tensors import Array


@dataclass(frozen=True)
class Native:
    """Ways to ask a loaded model; None: this flavour has no such way.

    Attributes:
        format: How its file is written.
        unpickled: Whether loading it could run code of its own.
        matrix: From a 2-D array, one column per input.
        columns: From columns, without making a DataFrame of them.
        frame: From a DataFrame.
        tensors: From an array, or a dict of arrays by input name.
        wrapped: Makes the object that MLflow's pyfunc would call, around this same model.
    """

    format: str
    unpickled: bool
    matrix: Callable[[Array], Output] | None = None
    columns: Callable[[Columns], Output] | None = None
    frame: Callable[[Any], Output] | None = None
    tensors: Callable[[Any], Output] | None = None
    wrapped: Callable[[], Any] | None = None


def native(files: ModelFiles, *, allow_pickle: bool) -> Native:
    """Load a model with its own library.

    Args:
        files: The model's.
        allow_pickle: Whether loading it may run code of its own.

    Raises:
        ModelRefused: it may not be loaded, or can't be.
    """
    if files.flavor == "sklearn":
        from modelyard.serving.server.loading.sklearn import load
    elif files.flavor in ("xgboost", "lightgbm"):
        from modelyard.serving.server.loading.boosters import load
    elif files.flavor == "onnx":
        from modelyard.serving.server.loading.onnx import load
    else:
        from modelyard.serving.server.loading.generic import load
    try:
        return load(files, allow_pickle=allow_pickle)
    except ModelRefused:
        raise
    except ImportError as error:
        raise ModelRefused(
            f"{files.folder} needs a package that isn't installed: {error}; what it was trained with is in its "
            "requirements.txt"
        ) from error
    except Exception as error:
        raise ModelRefused(f"{files.folder} can't be loaded: {type(error).__name__}: {error}") from error
