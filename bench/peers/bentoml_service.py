"""The model under BentoML as its documentation shows it: one worker."""

import os

import bentoml
import mlflow.pyfunc
import pandas as pd


@bentoml.service(workers=1)
class Model:
    def __init__(self) -> None:
        self.model = mlflow.pyfunc.load_model(os.environ["MODEL_FOLDER"])

    @bentoml.api
    def predict(self, dataframe_split: dict) -> dict:
        return {"predictions": self.model.predict(pd.DataFrame(**dataframe_split)).tolist()}
