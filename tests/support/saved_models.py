"""Models of every flavour, trained in milliseconds and saved by MLflow itself."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WORDS = ["clear", "cloudy", "rain"]


def tabular(rows: int = 200, *, words: bool = False, whole: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """Features and a label that depends on them; with a column of words, and one of whole numbers."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame({f"x{index}": random.normal(size=rows) for index in range(4)})
    score = frame["x0"] - 2 * frame["x1"]
    if whole:
        frame["count"] = random.integers(0, 50, rows)
        score += frame["count"] / 25
    if words:
        frame["weather"] = random.choice(WORDS, rows)
        score += (frame["weather"] == "rain") * 2
    return frame, (score > score.median()).astype(int).to_numpy()


def save(
    flavor: str, model: Any, path: Path, example: Any, predictions: Any, *, with_example: bool = True, **more: Any
) -> Path:
    """Save a model with its signature, quickly: without finding out its requirements."""
    import mlflow
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(mlflow, flavor).save_model(
            model,
            path=str(path),
            signature=more.pop("signature", None) or infer_signature(example, predictions),
            input_example=example[:5] if with_example else None,
            pip_requirements=["scikit-learn"],
            **more,
        )
    return path


def sklearn_numbers(path: Path, **more: Any) -> Path:
    """StandardScaler and LogisticRegression on numbers, one column of them whole."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame, label = tabular(whole=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, label)
    return save("sklearn", model, path, frame, model.predict(frame), **more)


def sklearn_words(path: Path) -> Path:
    """A ColumnTransformer over numbers and words."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, label = tabular(words=True, whole=True)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["weather"]), (StandardScaler(), ["x0", "x1", "x2", "x3", "count"])
    )
    names = np.array(["few", "many"], dtype=object)[label]
    model = make_pipeline(columns, LogisticRegression()).fit(frame, names)
    return save("sklearn", model, path, frame, model.predict(frame))


def sklearn_tensor(path: Path) -> Path:
    """A tensor-based signature: (-1, 4)."""
    from sklearn.ensemble import RandomForestRegressor

    frame, label = tabular()
    model = RandomForestRegressor(5, random_state=1).fit(frame.to_numpy(), label)
    trusted = ["sklearn.tree._tree.Tree"]
    return save("sklearn", model, path, frame.to_numpy(), model.predict(frame.to_numpy()), skops_trusted_types=trusted)


def sklearn_pickle(path: Path) -> Path:
    """Saved as a pickle."""
    return sklearn_numbers(path, serialization_format="pickle")


def xgboost_classifier(path: Path) -> Path:
    from xgboost import XGBClassifier

    frame, label = tabular(whole=True)
    model = XGBClassifier(n_estimators=8, max_depth=3).fit(frame, label)
    return save("xgboost", model, path, frame, model.predict(frame))


def xgboost_booster(path: Path) -> Path:
    import xgboost

    frame, label = tabular()
    model = xgboost.train({"max_depth": 3}, xgboost.DMatrix(frame, label), 8)
    return save("xgboost", model, path, frame, model.predict(xgboost.DMatrix(frame)))


def lightgbm_booster(path: Path) -> Path:
    import lightgbm

    frame, label = tabular(whole=True)
    model = lightgbm.train({"verbose": -1, "num_leaves": 7}, lightgbm.Dataset(frame, label), 8)
    return save("lightgbm", model, path, frame, model.predict(frame))


def onnx(path: Path) -> Path:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    frame, label = tabular()
    values = frame.to_numpy(np.float32)
    model = LinearRegression().fit(values, label)
    converted = to_onnx(model, values[:1])
    return save("onnx", converted, path, frame, pd.DataFrame({"variable": model.predict(values)}))


def onnx_tensor(path: Path) -> Path:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    frame, label = tabular()
    values = frame.to_numpy(np.float32)
    model = LinearRegression().fit(values, label)
    return save("onnx", to_onnx(model, values[:1]), path, values, {"variable": model.predict(values).reshape(-1, 1)})


SAFE = {
    "sklearn_numbers": sklearn_numbers,
    "sklearn_words": sklearn_words,
    "sklearn_tensor": sklearn_tensor,
    "xgboost_classifier": xgboost_classifier,
    "xgboost_booster": xgboost_booster,
    "lightgbm_booster": lightgbm_booster,
    "onnx": onnx,
    "onnx_tensor": onnx_tensor,
}
