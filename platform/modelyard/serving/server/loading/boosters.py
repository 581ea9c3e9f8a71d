"""XGBoost and LightGBM models, in the boosters' own formats."""

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.serving.server.errors import ModelRefused, listed
from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.loading.pickles import described
from modelyard.serving.server.loading.sklearn import load_object
from modelyard.serving.server.outputs import Output, output
from modelyard.serving.server.tensors import Array

_XGBOOST = ("Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


def load(files: ModelFiles, *, allow_pickle: bool) -> Native:
    """Load a booster.

    Raises:
        ModelRefused: its file is in no format of the booster's own.
    """
    path = files.path(files.conf.get("data"))
    if files.flavor == "xgboost":
        return _xgboost(files, path)
    return _lightgbm(files, path, allow_pickle=allow_pickle)


def _xgboost(files: ModelFiles, path: Path) -> Native:
    name = str(files.conf.get("model_class") or "xgboost.core.Booster")
    kind = name.rpartition(".")[2]
    if not name.startswith("xgboost.") or kind not in _XGBOOST:
        raise ModelRefused(f"{files.folder}: model_class is {name}, which is none of {listed(_XGBOOST)} of xgboost")
    if path.read_bytes()[:1] != b"{":
        raise ModelRefused(f"{path} is said to be XGBoost's JSON or UBJ and is {described(path)}")
    import xgboost

    model = getattr(xgboost, kind)()
    model.load_model(path)

    def wrapped() -> Any:
        from mlflow.xgboost import _XGBModelWrapper

        return _XGBModelWrapper(model)

    def from_matrix(data: Array) -> Output:
        if kind != "Booster":
            return output(model.predict(data))
        names = model.feature_names
        return output(model.predict(xgboost.DMatrix(data, feature_names=names, feature_types=model.feature_types)))

    def from_frame(data: Any) -> Output:
        return output(model.predict(xgboost.DMatrix(data)) if kind == "Booster" else model.predict(data))

    # XGBoost takes columns of a DataFrame apart, each with its own type: float32 inside, whatever came in.
    return Native(
        path.suffix.lstrip(".") or "ubj", unpickled=False, matrix=from_matrix, frame=from_frame, wrapped=wrapped
    )


def _lightgbm(files: ModelFiles, path: Path, *, allow_pickle: bool) -> Native:
    if str(files.conf.get("model_class") or "lightgbm.basic.Booster") == "lightgbm.basic.Booster":
        if not path.read_bytes()[:5].startswith(b"tree"):
            raise ModelRefused(f"{path} is said to be LightGBM's text and is {described(path)}")
        import lightgbm

        model: Any = lightgbm.Booster(model_file=path)
        format = "lightgbm"
    else:
        format = str(files.conf.get("serialization_format") or "cloudpickle")
        model = load_object(files, path, format, allow_pickle=allow_pickle)

    def wrapped() -> Any:
        from mlflow.lightgbm import _LGBModelWrapper

        return _LGBModelWrapper(model)

    def answer(data: Any) -> Output:
        return output(model.predict(data))

    unpickled = format not in ("lightgbm", "skops")
    return Native(
        format, unpickled, matrix=lambda data: answer(np.ascontiguousarray(data)), frame=answer, wrapped=wrapped
    )
