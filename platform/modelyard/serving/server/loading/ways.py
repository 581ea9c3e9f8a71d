"""MLflow's own way to ask a model that its own library has loaded."""

from typing import Any

from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native


def pyfunc(files: ModelFiles, model: Native) -> Any:
    """MLflow's `PyFuncModel` around an already loaded model.

    MLflow's own loading would trust what a file says of itself: skops files name the types that they want trusted.

    Args:
        files: The model's.
        model: Loaded by its own library.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    assert model.wrapped
    wrapped = model.wrapped()
    if isinstance(wrapped, mlflow.pyfunc.PyFuncModel):
        return wrapped
    predict_fn = str(files.pyfunc.get("predict_fn") or "predict")
    return mlflow.pyfunc.PyFuncModel(Model.load(str(files.folder)), wrapped, predict_fn)
