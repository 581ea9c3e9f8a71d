"""Models for tests of the protocols: no files, no MLflow, an answer from a function."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.serving.server.columns import objects
from modelyard.serving.server.errors import NotReady, UnknownModel, listed
from modelyard.serving.server.inputs import FrameInputs
from modelyard.serving.server.model import input_metadata, output_metadata
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.signature import Column, Param, Signature

COLUMNS = (Column("x", "double"), Column("n", "long"), Column("word", "string", required=False))


def doubled(question):
    """Twice `x` as FP64, half of it as FP16, `n` as it is, and the words in capitals."""
    columns = question.inputs.data
    words = columns.values.get("word", objects([""] * columns.rows))
    return Output(
        "frame",
        {
            "twice": columns.values["x"] * 2 * question.params.get("factor", 1),
            "n": columns.values["n"],
            "loud": objects([None if word is None else word.upper() for word in words]),
        },
    )


@dataclass
class FakeModel:
    name: str = "demo"
    version: str = "3"
    answer: Any = doubled
    platform: str = "mlflow_sklearn"
    signature: Signature = field(
        default_factory=lambda: Signature(
            COLUMNS,
            (Column("twice", "double"), Column("n", "long"), Column("loud", "string")),
            (Param("factor", "double", 1.0),),
        )
    )

    def __post_init__(self):
        self.inputs = FrameInputs(self.signature.columns)
        self.input_metadata = input_metadata(self.signature)
        self.output_metadata = output_metadata(self.signature)
        self.facts = {"flavor": "sklearn", "path": "matrix", "unpickled": False, "slower_because": None}
        self.asked = []

    async def ask(self, question):
        self.asked.append(question)
        return self.answer(question)


class FakeModels:
    def __init__(self, *models, loading=()):
        self._models = {model.name: model for model in models}
        self._loading = loading
        self.is_ready = not loading

    def find(self, name, version=None):
        if name in self._loading:
            raise NotReady(f"model {name!r} is being loaded", retry_after=1)
        found = self._models.get(name)
        if found is None or version not in (None, "", found.version):
            raise UnknownModel(f"there is no model {name!r}; there are {listed(self._models)}")
        return found

    def versions(self, name):
        return [self._models[name].version]

    def names(self):
        return list(self._models)


def half(question):
    return Output("array", {"output-0": (question.inputs.data.values["x"] / 2).astype(np.float16)})
