"""One platform for the whole run: `up` once, used by every test that does not need one of its own."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.support.local_platform import ROOT, LocalPlatform, a_platform, succeeded

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@pytest.fixture(scope="session")
def platform() -> Iterator[LocalPlatform]:
    with a_platform() as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


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


@pytest.fixture(scope="session")
def bike_example() -> ModuleType:
    """The example's training code, as a module."""
    path = ROOT / "examples" / "bike-demand" / "train.py"
    spec = importlib.util.spec_from_file_location("bike_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bike_train"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bike_model(platform: LocalPlatform, bike_example: ModuleType) -> BikeModel:
    import mlflow

    assert platform.descriptor.tracking_server is not None
    mlflow.set_tracking_uri(platform.descriptor.tracking_server.url)
    july = bike_example.rows(("July",))
    features = july[bike_example.NUMBERS + bike_example.WORDS].head(100)
    predictions = {}
    for trees in (20, 30):
        model, version = bike_example.train(trees=trees)
        predictions[version] = model.predict(features)
    mlflow.MlflowClient().set_registered_model_alias(bike_example.NAME, "champion", "1")
    return BikeModel(bike_example.NAME, features, predictions)
