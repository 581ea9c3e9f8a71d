"""Models that servers are compared with, saved by MLflow, and requests for them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.saved_models import save


def cancer(path: Path) -> tuple[Path, pd.DataFrame]:
    """30 numbers: StandardScaler and LogisticRegression."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target)
    return save("sklearn", model, path, data.data, model.predict(data.data)), data.data


def words(path: Path) -> tuple[Path, pd.DataFrame]:
    """14 numbers and 6 columns of words: a ColumnTransformer and LogisticRegression."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(3)
    numbers = {f"x{index}": random.normal(size=500) for index in range(14)}
    texts = {f"w{index}": random.choice(["red", "green", "blue", "white"], 500) for index in range(6)}
    frame = pd.DataFrame(numbers | texts)
    label = ((frame["x0"] + (frame["w0"] == "red")) > 0).astype(int)
    columns = make_column_transformer((OneHotEncoder(), list(texts)), (StandardScaler(), list(numbers)))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, label)
    return save("sklearn", model, path, frame, model.predict(frame)), frame


def forest(path: Path) -> tuple[Path, pd.DataFrame]:
    """A forest that takes milliseconds, so that whoever asks takes no part of the processors worth mentioning."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    data = load_breast_cancer(as_frame=True)
    model = RandomForestClassifier(300, random_state=1).fit(data.data, data.target)
    trusted = ["sklearn.tree._tree.Tree"]
    return save("sklearn", model, path, data.data, model.predict(data.data), skops_trusted_types=trusted), data.data


def v2(frame: pd.DataFrame) -> bytes:
    """A V2 request, one tensor per column."""
    tensors = [
        {
            "name": name,
            "shape": [len(frame), 1],
            "datatype": "FP64" if frame[name].dtype.kind == "f" else "BYTES",
            "data": frame[name].tolist(),
            **({} if frame[name].dtype.kind == "f" else {"parameters": {"content_type": "str"}}),
        }
        for name in frame.columns
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": tensors}).encode()


def split(frame: pd.DataFrame) -> bytes:
    """An `/invocations` request."""
    return json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
