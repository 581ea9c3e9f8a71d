"""V2 datatypes and NumPy dtypes.

Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import numpy as np

DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype("bool"),
    **{f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": np.dtype("float16"),
    "FP32": np.dtype("float32"),
    "FP64": np.dtype("float64"),
    "BYTES": np.dtype("object"),
}
_OF_DTYPE = {dtype: name for name, dtype in DTYPES.items()}
OF_COLUMN = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
    "datetime": "BYTES",
}


def datatype(dtype: np.dtype) -> str:
    """The V2 datatype that holds values of a NumPy dtype; whatever has none goes as BYTES."""
    return _OF_DTYPE.get(dtype, "BYTES")
