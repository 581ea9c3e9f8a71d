"""Models as one doesn't want them, each a Python function that MLflow saved (so each has to be allowed by name)."""

from pathlib import Path
from typing import Any


def save(path: Path, name: str) -> Path:
    """Save one of these, with the signature {x: double} and an input example.

    Args:
        path: Where to.
        name: `moody` raises what it is told by x: -1 ValueError, -2 TypeError, -3 exits; `hanging` never answers to
            x < 0; `slow` takes x seconds; `short` answers with one row too few if x < 0; `leaking` keeps 8 MiB per row
            if x > 0; `counting` answers with how often it was asked; `batch_mean` with the mean over the batch.
    """
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature

    class Odd(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return globals_of[name](model_input["x"].to_numpy())

    def moody(x: Any) -> Any:
        if (x == -1).any():
            raise ValueError("x is -1")
        if (x == -2).any():
            raise TypeError("x is -2")
        if (x == -3).any():
            raise SystemExit(7)
        return x * 2

    def hanging(x: Any) -> Any:
        import threading

        if (x < 0).any():
            threading.Event().wait()
        return x * 2

    def slow(x: Any) -> Any:
        import time

        end = time.monotonic() + min(float(x.sum()), 5.0)
        while time.monotonic() < end:  # not asleep: it wants the processor as much as anybody
            pass
        return x * 2

    kept: list[Any] = []

    def leaking(x: Any) -> Any:
        import numpy as np

        kept.extend(np.ones(1024 * 1024) for one in x if one > 0)
        return x * 2

    def counting(x: Any) -> Any:
        kept.append(1)
        return x * 0 + len(kept)

    globals_of = {
        "moody": moody,
        "hanging": hanging,
        "slow": slow,
        "short": lambda x: x[1:] if (x < 0).any() else x * 2,
        "leaking": leaking,
        "counting": counting,
        "batch_mean": lambda x: x - x.mean(),
    }
    example = pd.DataFrame({"x": np.array([0.0, 0.5])})
    mlflow.pyfunc.save_model(
        path=str(path),
        python_model=Odd(),
        signature=infer_signature(example, example["x"].to_numpy()),
        input_example=example,
        pip_requirements=["mlflow"],
    )
    return path
