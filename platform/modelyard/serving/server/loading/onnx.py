"""ONNX models, run by onnxruntime."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.outputs import Output, output
from modelyard.serving.server.tensors import Array


def load(files: ModelFiles, *, allow_pickle: bool) -> Native:
    """Load an ONNX model, on the CPU."""
    import onnxruntime

    path = files.path(files.conf.get("data"))
    session = onnxruntime.InferenceSession(
        str(path), sess_options=_options(files.conf), providers=["CPUExecutionProvider"]
    )
    floats = {one.name for one in session.get_inputs() if one.type == "tensor(float)"}
    inputs = [one.name for one in session.get_inputs()]
    outputs = [one.name for one in session.get_outputs()]

    def run(feed: Mapping[str, Array]) -> list[Any]:
        narrowed = {
            name: value.astype(np.float32) if name in floats and value.dtype == np.float64 else value
            for name, value in feed.items()
        }
        return list(session.run(outputs, narrowed))

    def as_frame(feed: Mapping[str, Array]) -> Output:
        arrays = {name: np.asarray(one).reshape(-1) for name, one in zip(outputs, run(feed), strict=True)}
        if len({len(array) for array in arrays.values()}) > 1:
            raise TypeError("its outputs are of different lengths, which MLflow can't put into one DataFrame")
        return Output("frame", arrays)

    def from_frame(data: Any) -> Output:
        if len(inputs) > 1:
            return as_frame({name: data[name].to_numpy() for name in inputs})
        return as_frame({inputs[0]: data.to_numpy()})

    def from_tensors(data: Any) -> Output:
        feed = data if isinstance(data, dict) else {inputs[0]: data}
        return output(dict(zip(outputs, run(feed), strict=True)))

    def wrapped() -> Any:
        from mlflow.onnx import _OnnxModelWrapper

        return _OnnxModelWrapper(str(path))

    return Native(
        "onnx",
        unpickled=False,
        matrix=(lambda data: as_frame({inputs[0]: data})) if len(inputs) == 1 else None,
        frame=from_frame,
        tensors=from_tensors,
        wrapped=wrapped,
    )


def _options(conf: Mapping[str, Any]) -> Any:
    import onnxruntime

    options, wanted = onnxruntime.SessionOptions(), conf.get("onnx_session_options") or {}
    options.inter_op_num_threads = int(wanted.get("inter_op_num_threads") or 1)
    options.intra_op_num_threads = int(wanted.get("intra_op_num_threads") or 1)
    if str(wanted.get("execution_mode", "")).lower() == "parallel":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    if level := wanted.get("graph_optimization_level"):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(level)
    return options
