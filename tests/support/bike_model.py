"""The example's model, trained and registered in two versions."""

import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from tests.support.local_platform import ROOT

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class BikeModel:
    """A registered model with two versions; the first is its champion.

    Attributes:
        features: Rows to ask predictions for.
        predictions: Version → what the pipeline itself predicts for them.
    """

    name: str
    features: "pd.DataFrame"
    predictions: dict[str, "np.ndarray"]


def example() -> ModuleType:
    """The example's training code, as a module."""
    path = ROOT / "examples" / "bike-demand" / "train.py"
    spec = importlib.util.spec_from_file_location("bike_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bike_train"] = module
    spec.loader.exec_module(module)
    return module


def registered(training: ModuleType) -> BikeModel:
    """Train both versions and register them at the tracking server that MLflow is set to."""
    import mlflow

    july = training.rows(("July",))
    features = july[training.NUMBERS + training.WORDS].head(100)
    predictions = {}
    for trees in (20, 30):
        model, version = training.train(trees=trees)
        predictions[version] = model.predict(features)
    mlflow.MlflowClient().set_registered_model_alias(training.NAME, "champion", "1")
    return BikeModel(training.NAME, features, predictions)
