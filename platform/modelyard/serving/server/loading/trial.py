"""Trying a model: each way of asking it against MLflow's, batches against their rows. Imports MLflow."""

import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelyard.serving.server.columns import Columns
from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.inputs import FrameInputs, FreeInputs, TensorInputs
from modelyard.serving.server.loading import samples
from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native, native
from modelyard.serving.server.loading.proof import Proof, answer, compared, same
from modelyard.serving.server.loading.samples import EXAMPLE
from modelyard.serving.server.loading.ways import pyfunc
from modelyard.serving.server.outputs import Output, joined
from modelyard.serving.server.predictors import (
    ColumnsPredictor,
    FramePredictor,
    MatrixPredictor,
    Predictor,
    PyfuncPredictor,
    TensorPredictor,
    matrix,
)


def candidates(files: ModelFiles, model: Native) -> Iterator[Predictor]:
    """The ways that a model's signature and flavour allow, fastest first, without MLflow's own."""
    signature = files.signature
    if signature.params and files.flavor not in ("sklearn", "lightgbm", "onnx"):
        return  # its wrapper hands parameters on
    columns = signature.columns
    numbers = bool(columns) and all(column.required and np.dtype(column.dtype).kind in "if" for column in columns)
    if numbers and model.matrix:
        yield MatrixPredictor(model)
    if columns and model.columns:
        yield ColumnsPredictor(model)
    if columns and model.frame:
        yield FramePredictor(model)
    if signature.tensors and model.tensors:
        yield TensorPredictor(model)


def trial(files: ModelFiles, *, allow_pickle: bool) -> Proof:
    """Find the fastest way that answers like MLflow's, and whether rows may share a batch.

    Raises:
        ModelRefused: the model can't be loaded, or doesn't answer to its own input example.
    """
    os.environ.setdefault("MLFLOW_DISABLE_SCHEMA_DETAILS", "true")
    model = native(files, allow_pickle=allow_pickle)
    reference = PyfuncPredictor(pyfunc(files, model), [str(one.name) for one in files.signature.outputs if one.name])
    tried = _inputs(files, reference)
    against = f"mlflow.pyfunc {importlib.metadata.version('mlflow')}"
    rejected: dict[str, str] = {}
    for way in candidates(files, model):
        difference = _why_not(files, way, reference, tried)
        if not difference:
            why_not = _why_not_batched(files, way, tried)
            return Proof(way.path, not why_not, _count(tried), against, rejected, why_not)
        rejected[way.path] = difference
    # Code that nobody knows gets no rows but its own example: what it does with others may take long or have effects.
    why_not = _why_not_batched(files, reference, [one for one in tried if one[0] == EXAMPLE])
    return Proof("pyfunc", not why_not, _count(tried), against, rejected, why_not)


def _inputs(files: ModelFiles, reference: PyfuncPredictor) -> list[tuple[str, Any]]:
    """Rows to try it with, each batch with a word about what it is."""
    params = dict(samples.params(files))
    if files.signature.columns:
        example = samples.example(files, FrameInputs(files.signature.columns))
        tried: list[tuple[str, Any]] = list(samples.batches(files, example.data if example else None))
    elif files.signature.tensors:
        example = samples.example(files, TensorInputs(files.signature.tensors))
        tried = [(EXAMPLE, example.data)] if example else []
        tried.append(("generated tensors", samples.tensors(files.signature.tensors)))
    else:
        example = samples.example(files, FreeInputs(reference._model))
        tried = [(EXAMPLE, example.data)] if example else []
    if example is not None:
        first = answer(lambda: reference(tried[0][1], params))
        if isinstance(first, str):
            raise ModelRefused(f"{files.folder}: the model raises {first} when it is asked for its own input example")
    return tried


def _why_not(files: ModelFiles, way: Predictor, reference: Predictor, tried: list[tuple[str, Any]]) -> str:
    if not tried:
        return "there is nothing to try it with"
    params, answered = dict(samples.params(files)), False
    for what, data in tried:
        for some, rows in _cuts(data):
            got = answer(lambda rows=rows: way(_as(way, files, rows), params))  # type: ignore[misc]
            want = answer(lambda rows=rows: reference(rows, params))  # type: ignore[misc]
            if difference := compared(got, want):
                return f"{what}{some}: {difference}"
            answered = answered or isinstance(got, Output)
    return "" if answered else "the model answered to none of the rows that were tried"


def _why_not_batched(files: ModelFiles, way: Predictor, tried: list[tuple[str, Any]]) -> str:
    """Why rows can't share a batch; empty: each row's answer is its own, alone, among others and in another order."""
    params, compared_any = dict(samples.params(files)), False
    for what, data in tried:
        rows = _as(way, files, data)
        count = _length(rows)
        if count is None or way.kind(rows) is None:
            return f"{what} can't be cut into rows"
        if count == 1:
            rows, count = way.join([rows, rows]), 2
        whole = answer(lambda rows=rows: way(rows, params))  # type: ignore[misc]
        if isinstance(whole, str):
            continue
        if whole.rows() != count:
            return f"{what}: {count} rows in, {whole.rows()} out"
        single = [way.part(rows, at, at + 1) for at in range(count)]
        for how, got in (
            ("rows alone", answer(lambda single=single: joined([way(one, params) for one in single]))),  # type: ignore[misc]
            ("rows in reverse", answer(lambda single=single: _reversed(way(way.join(single[::-1]), params)))),  # type: ignore[misc]
        ):
            if isinstance(got, str) or (difference := same(got, whole, batched=True)):
                return f"{what}, {how}: {got if isinstance(got, str) else difference}"
        compared_any = compared_any or len({_text(one) for one in single}) > 1
    return "" if compared_any else "there are no two different rows to find it out with"


def _text(data: Any) -> str:
    """What a row says, to tell different rows."""
    if isinstance(data, Columns):
        return repr([values.tolist() for values in data.values.values()])
    return repr(data.to_numpy().tolist() if hasattr(data, "to_numpy") else data)


def _reversed(found: Output) -> Output:
    return Output(found.form, {name: array[::-1] for name, array in found.arrays.items()})


def _as(way: Predictor, files: ModelFiles, data: Any) -> Any:
    if way.path != "matrix" or not isinstance(data, Columns):
        return data
    return matrix(data, np.result_type(*(np.dtype(column.dtype) for column in files.signature.columns)))


def _cuts(data: Any) -> Iterator[tuple[str, Any]]:
    yield "", data
    if isinstance(data, Columns):
        for at in range(0, data.rows, 7):
            yield f", row {at} alone", data.part(at, at + 1)


def _length(data: Any) -> int | None:
    if isinstance(data, Columns):
        return data.rows
    if isinstance(data, dict):
        lengths = {len(value) for value in data.values() if isinstance(value, np.ndarray) and value.ndim}
        return lengths.pop() if len(lengths) == 1 else None
    if isinstance(data, np.ndarray):
        return len(data) if data.ndim else None
    return len(data) if type(data).__name__ == "DataFrame" else None


def _count(tried: list[tuple[str, Any]]) -> int:
    return sum(_length(data) or 1 for _, data in tried)
