"""One version of a model, from its files to its answers."""

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.serving.server.datatypes import OF_COLUMN, datatype
from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.inputs import FrameInputs, FreeInputs, MatrixInputs, TensorInputs
from modelyard.serving.server.interface import TensorMetadata
from modelyard.serving.server.loading import samples
from modelyard.serving.server.loading.files import ModelFiles, model_files
from modelyard.serving.server.loading.native import Native, native
from modelyard.serving.server.loading.proof import Proof, prove
from modelyard.serving.server.loading.ways import pyfunc
from modelyard.serving.server.outputs import DEFAULT_NAME
from modelyard.serving.server.predictors import (
    ColumnsPredictor,
    FramePredictor,
    MatrixPredictor,
    Predictor,
    PyfuncPredictor,
    TensorPredictor,
)
from modelyard.serving.server.settings import ModelSettings, ServerSettings
from modelyard.serving.server.signature import Column, Signature, Tensor

log = logging.getLogger(__name__)
AnyInputs = FrameInputs | MatrixInputs | TensorInputs | FreeInputs


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be asked.

    Attributes:
        load_seconds: From its files to the first answer.
    """

    settings: ModelSettings
    files: ModelFiles
    proof: Proof
    predictor: Predictor
    inputs: AnyInputs
    format: str
    unpickled: bool
    load_seconds: float

    @property
    def signature(self) -> Signature:
        """What goes in and comes out."""
        return self.files.signature

    @property
    def facts(self) -> dict[str, Any]:
        """How it is served."""
        return {
            "flavor": self.files.flavor,
            "format": self.format,
            "path": self.proof.way,
            "equal_to": self.proof.against,
            "compared_rows": self.proof.rows,
            "slower_because": self.proof.rejected,
            "batching": "off: " + self.proof.why_not_batched if self.proof.why_not_batched else "on",
            "unpickled": self.unpickled,
            "digest": self.files.digest,
            "load_seconds": round(self.load_seconds, 3),
        }


def load(settings: ModelSettings, server: ServerSettings) -> Loaded:
    """Load a model: check its files, decide how it is asked, ask it once.

    Args:
        settings: Which one.
        server: Where proofs are remembered.

    Raises:
        ModelRefused: it can't be served, and why.
    """
    began = time.perf_counter()
    manifest = json.loads(settings.manifest.read_bytes()) if settings.manifest else None
    files = model_files(settings.folder, manifest)
    model = native(files, allow_pickle=settings.allow_pickle)
    if model.unpickled:
        log.warning("model %s version %s was unpickled: its file could run code", settings.name, settings.version)
    proof = prove(files, server.proofs, allow_pickle=settings.allow_pickle)
    predictor, inputs = _way(files, model, proof)
    _warm_up(files, predictor, inputs)
    took = time.perf_counter() - began
    return Loaded(settings, files, proof, predictor, inputs, model.format, model.unpickled, took)


def _way(files: ModelFiles, model: Native, proof: Proof) -> tuple[Predictor, AnyInputs]:
    if proof.way == "matrix":
        return MatrixPredictor(model), MatrixInputs(files.signature.columns)
    if proof.way == "columns":
        return ColumnsPredictor(model), FrameInputs(files.signature.columns)
    if proof.way == "frame":
        return FramePredictor(model), FrameInputs(files.signature.columns)
    if proof.way == "tensors":
        return TensorPredictor(model), TensorInputs(files.signature.tensors)
    slow = pyfunc(files, model)
    names = [str(one.name) for one in files.signature.outputs if one.name]
    if files.signature.columns:
        return PyfuncPredictor(slow, names), FrameInputs(files.signature.columns)
    if files.signature.tensors:
        return PyfuncPredictor(slow, names), TensorInputs(files.signature.tensors)
    return PyfuncPredictor(slow, names), FreeInputs(slow)


def _warm_up(files: ModelFiles, predictor: Predictor, inputs: AnyInputs) -> None:
    """The first answer is slow: libraries load what they need, caches fill. Nobody should wait for that."""
    example = samples.example(files, inputs)
    if example is None:
        return
    try:
        for _ in range(2):
            predictor(example.data, dict(samples.params(files)))
    except Exception as error:
        raise ModelRefused(
            f"{files.folder}: the model fails on its own input example: {type(error).__name__}: {error}"
        ) from error


def input_metadata(signature: Signature) -> tuple[TensorMetadata, ...]:
    """A signature's inputs as V2 metadata.

    Args:
        signature: The model's.
    """
    every: tuple[Column | Tensor, ...] = signature.inputs
    return tuple(_metadata(one, f"input-{index}") for index, one in enumerate(every))


def output_metadata(signature: Signature) -> tuple[TensorMetadata, ...]:
    """A signature's outputs as V2 metadata.

    Args:
        signature: The model's.
    """
    every: tuple[Column | Tensor, ...] = signature.outputs
    return tuple(
        _metadata(one, DEFAULT_NAME if len(every) == 1 else f"output-{index}") for index, one in enumerate(every)
    )


def _metadata(one: Column | Tensor, default: str) -> TensorMetadata:
    if isinstance(one, Tensor):
        dtype = np.dtype(one.dtype)
        return TensorMetadata(one.name or default, datatype(dtype), one.shape)
    parameters: dict[str, Any] = {} if one.required else {"optional": True}
    if one.type in ("string", "datetime", "binary"):
        parameters["content_type"] = {"string": "str", "binary": "base64"}.get(one.type, one.type)
    return TensorMetadata(one.name or default, OF_COLUMN.get(one.type, "BYTES"), (-1,), parameters)
