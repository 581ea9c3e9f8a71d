"""Models that only MLflow can load: PyTorch, and Python functions of any kind."""

import os
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
    format = str(files.conf.get("serialization_format") or "python code")
    safe = files.flavor == "pytorch" and format == "pt2" and not files.pyfunc.get("code")
    if not safe:
        loader = files.pyfunc.get("loader_module")
        refuse_unless_allowed(files, f"a Python function (loaded by {loader}, {format})", allow_pickle=allow_pickle)
    # MLflow looks by itself whether an exported PyTorch program is free of pickles; this makes it refuse those.
    os.environ[ALLOWED] = "true" if allow_pickle else "false"
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(files.folder), suppress_warnings=True)

    def wrapped() -> Any:
        return model

    return Native(format, unpickled=not safe, wrapped=wrapped)
