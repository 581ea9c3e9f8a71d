"""scikit-learn models: skops files by default, pickles if they are allowed."""

import importlib
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.registry.trusted_types import REVIEWED
from modelyard.serving.server.errors import ModelRefused, listed
from modelyard.serving.server.loading.column_transformer import without_frame
from modelyard.serving.server.loading.files import ModelFiles
from modelyard.serving.server.loading.native import Native
from modelyard.serving.server.loading.pickles import described, refuse_unless_allowed
from modelyard.serving.server.outputs import Output, output


def load(files: ModelFiles, *, allow_pickle: bool) -> Native:
    """Load a scikit-learn model.

    Raises:
        ModelRefused: it is a pickle and not allowed, or a skops file with types that nobody has reviewed.
    """
    path = files.path(files.conf.get("pickled_model"))
    format = str(files.conf.get("serialization_format") or "cloudpickle")
    model = load_object(files, path, format, allow_pickle=allow_pickle)
    names = [str(one.name) for one in files.signature.outputs if one.name]
    method = str(files.pyfunc.get("predict_fn") or "predict")
    predict = getattr(model, method, None)
    if predict is None:
        raise ModelRefused(f"{files.folder}: the model has no {method}")
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    ask_columns = without_frame(model, files.signature.columns, method)

    def wrapped() -> Any:
        from mlflow.sklearn import _SklearnModelWrapper

        return _SklearnModelWrapper(model)

    def answer(data: Any) -> Output:
        return output(predict(data), names)

    return Native(
        format,
        format != "skops",
        matrix=answer,
        columns=(lambda data: output(ask_columns(data), names)) if ask_columns else None,
        frame=answer,
        tensors=answer,
        wrapped=wrapped,
    )


def load_object(files: ModelFiles, path: Path, format: str, *, allow_pickle: bool) -> Any:
    """What is in a file that scikit-learn, or a library like it, was saved to.

    Args:
        files: The model's.
        path: The file.
        format: `skops`, `pickle` or `cloudpickle`.
        allow_pickle: Whether loading it may run code of its own.

    Raises:
        ModelRefused: it may not be loaded, or isn't what it is said to be.
    """
    if format == "skops":
        return _from_skops(path)
    refuse_unless_allowed(files, f"a pickle ({path.name})", allow_pickle=allow_pickle)
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 (cloudpickle's files are pickles too; allowed for this model by name)


def _from_skops(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise ModelRefused(f"{path} is said to be a skops file and is {described(path)}")
    with _without_every_estimator():
        import skops.io
    untrusted = [name for name in skops.io.get_untrusted_types(file=path) if name not in REVIEWED]
    refused = [name for name in untrusted if not _is_estimator(name)]
    if refused:
        raise ModelRefused(
            f"{path} holds types that nobody has reviewed: {listed(refused)}. If restoring them can't run code of the "
            "file's choosing, add them to modelyard.registry.trusted_types"
        )
    return skops.io.load(path, trusted=[*REVIEWED, *untrusted])


def _is_estimator(name: str) -> bool:
    """Whether it is a class of scikit-learn that skops itself would trust: a public estimator."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn.") or attribute.startswith("_") or ".tests" in module:
        return False
    from sklearn.base import BaseEstimator

    found = getattr(importlib.import_module(module), attribute, None)
    return isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__ == module


@contextmanager
def _without_every_estimator() -> Iterator[None]:
    """Spare skops the list of all estimators, which it makes when imported by importing all of scikit-learn.

    That costs 20 MiB and half a second; the few that a file names are looked at one by one instead.
    """
    with _pandas_later():
        import sklearn.utils
    every: Callable[..., Any] = sklearn.utils.all_estimators
    if "skops.io" not in sys.modules:
        sklearn.utils.all_estimators = lambda *_, **__: []
    try:
        yield
    finally:
        sklearn.utils.all_estimators = every


@contextmanager
def _pandas_later() -> Iterator[None]:
    """Import scikit-learn without pandas: it looks whether there is one, which would cost 60 MiB.

    A model that gets DataFrames imports pandas itself, and scikit-learn looks for that in `sys.modules`.
    """
    if "pandas" in sys.modules or "sklearn.utils" in sys.modules:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # what makes `import pandas` an ImportError
    try:
        yield
    finally:
        del sys.modules["pandas"]
