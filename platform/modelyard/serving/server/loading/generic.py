"""Models that only MLflow can load: PyTorch, and Python functions of any kind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.loading.pickles import refuse_unless_allowed

ALLOWED = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


def load(files: ModelFiles, *, allow_pickle: bool) -> Native:
    """Let MLflow load a model.

    Raises:
        ModelRefused: loading it could run code of its own, and that isn't allowed.
    """
    format = _format(files)
    safe = format == "pt2" and not files.pyfunc.get("code")
    if not safe:
        loader = files.pyfunc.get("loader_module")
        refuse_unless_allowed(files, f"a Python function (loaded by {loader}, {format})", allow_pickle=allow_pickle)
    import mlflow.pyfunc

    with _mlflow_may_unpickle(allow_pickle):
        model = mlflow.pyfunc.load_model(str(files.folder), suppress_warnings=True)

    def wrapped() -> Any:
        return model

    return Native(format, unpickled=not safe, wrapped=wrapped)


def _format(files: ModelFiles) -> str:
    """MLflow goes by which file there is: `MLmodel` says nothing about it."""
    if files.flavor != "pytorch":
        return str(files.conf.get("serialization_format") or "python code")
    data = files.path(files.pyfunc.get("data"))
    return "pt2" if (data / "model.pt2").is_file() and not (data / "model.pth").exists() else "pickle"


@contextmanager
def _mlflow_may_unpickle(allowed: bool) -> Iterator[None]:
    """MLflow looks by itself whether an exported PyTorch program is free of pickles, and refuses those if it must."""
    before = os.environ.get(ALLOWED)
    os.environ[ALLOWED] = "true" if allowed else "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[ALLOWED]
        else:
            os.environ[ALLOWED] = before
