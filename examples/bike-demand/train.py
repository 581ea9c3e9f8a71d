"""Train a model of hourly bike demand and register it. MLFLOW_TRACKING_URI says where."""

import argparse
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelyard.registry.trusted_types import REVIEWED

NAME = "bike-demand"
DATA = Path(__file__).parent / "bikeshare.csv"
MONTHS = ("Jan", "Feb", "March", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec")
NUMBERS = ["season", "hr", "holiday", "weekday", "workingday", "temp", "atemp", "hum", "windspeed"]
WORDS = ["weathersit"]
TARGET = "bikers"


def rows(months: tuple[str, ...]) -> pd.DataFrame:
    """The rows of some months, in time order; numbers as float64, so that a missing one can be said."""
    everything = pd.read_csv(DATA)
    chosen = everything[everything["mnth"].isin(months)].reset_index(drop=True)
    return chosen.astype(dict.fromkeys(NUMBERS, "float64"))


def pipeline(trees: int, seed: int) -> Pipeline:
    """One-hot words, numbers as they are, gradient-boosted trees."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), WORDS), remainder="passthrough"
    )
    return make_pipeline(columns, GradientBoostingRegressor(n_estimators=trees, max_depth=5, random_state=seed))


def train(*, trees: int = 200, seed: int = 0, months: tuple[str, ...] = MONTHS[:6]) -> tuple[Pipeline, str]:
    """Train on some months, test on the last tenth of them, log all of it and register the model.

    Returns:
        The pipeline, and the registered version.
    """
    data = rows(months)
    features = data[NUMBERS + WORDS]
    split = int(len(data) * 0.9)
    mlflow.set_experiment(NAME)
    with mlflow.start_run():
        mlflow.log_params({"trees": trees, "max_depth": 5, "seed": seed, "months": ",".join(months)})
        mlflow.log_input(mlflow.data.from_pandas(data, source=str(DATA), targets=TARGET, name="bikeshare"), "training")
        model = pipeline(trees, seed).fit(features[:split], data[TARGET][:split])
        predicted = model.predict(features[split:])
        mlflow.log_metrics(
            {
                "mae": float(mean_absolute_error(data[TARGET][split:], predicted)),
                "rmse": float(root_mean_squared_error(data[TARGET][split:], predicted)),
            }
        )
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=NAME,
            signature=infer_signature(features, model.predict(features)),
            input_example=features.head(3),
            skops_trusted_types=list(REVIEWED),
        )
    return model, str(logged.registered_model_version)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"registered {NAME} version {train(trees=arguments.trees, seed=arguments.seed)[1]}")
