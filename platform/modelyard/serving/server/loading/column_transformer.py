"""Pipelines that begin with a ColumnTransformer, asked without a DataFrame.

Picking columns out of a DataFrame costs scikit-learn several milliseconds a call, however few the rows; what its
transformers then do with them costs a tenth of that. So each transformer is given its columns as an array: the values
that it would be given from the DataFrame. That the answers are the same is shown when a model is tried (`trial`).
"""

from collections import UserList
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelyard.serving.server.columns import Columns, objects
from modelyard.serving.server.signature import Column
from modelyard.serving.server.tensors import Array

_PIPELINE = "sklearn.pipeline.Pipeline"
_COLUMN_TRANSFORMER = "sklearn.compose._column_transformer.ColumnTransformer"
_FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"
_BY_COLUMN = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
Group = tuple[Any, list[str], bool]
"""A transformer (None: its columns pass through), its columns, and whether it is given one of them as a 1-D array."""


def without_frame(model: Any, columns: Sequence[Column], method: str) -> Callable[[Columns], Any] | None:
    """How to ask a pipeline with columns.

    Args:
        model: A fitted scikit-learn estimator.
        columns: Of the model's signature.
        method: What is asked of the pipeline: `predict`, `predict_proba`, …

    Returns:
        A function from columns to what `method` returns; None: the model is no such pipeline, or has a part that may
        look at a DataFrame's names or types.
    """
    if _class(model) != _PIPELINE or len(model.steps) < 2 or _class(model.steps[0][1]) != _COLUMN_TRANSFORMER:
        return None
    first = model.steps[0][1]
    groups = _groups(first, {str(one.name): one for one in columns if one.required})
    if not groups or _makes_frames(first):
        return None
    rest = model.steps[1][1] if len(model.steps) == 2 else type(model)(model.steps[1:])
    ask = getattr(rest, method, None)
    if ask is None:
        return None
    is_sparse = bool(first.sparse_output_)

    def answer(data: Columns) -> Any:
        return ask(_beside([_transformed(group, data) for group in groups], is_sparse=is_sparse))

    return answer


def _groups(first: Any, known: dict[str, Column]) -> list[Group] | None:
    """The transformers with their columns, in the order of their results; None: one of them needs a DataFrame."""
    groups: list[Group] = []
    for _, transformer, chosen in first.transformers_:
        names = _names(chosen, first)
        if names is None or not set(names) <= set(known):
            return None
        if transformer == "drop" or not names:
            continue
        if not _is_plain(transformer) or not _go_together([known[name] for name in names], transformer):
            return None
        groups.append((None if _is_passthrough(transformer) else transformer, names, isinstance(chosen, str)))
    return groups


def _names(chosen: Any, first: Any) -> list[str] | None:
    if isinstance(chosen, str):
        return [chosen]
    every = list(getattr(first, "feature_names_in_", ()))
    if not isinstance(chosen, (list, UserList)) or not all(type(one) in (str, int) for one in chosen):
        return None
    return [one if isinstance(one, str) else str(every[one]) for one in chosen] if every else None


def _is_plain(transformer: Any) -> bool:
    """Whether it is scikit-learn's own and sees but values: code of somebody else may ask for columns by name."""
    if _is_passthrough(transformer):
        return True
    kind = _class(transformer)
    if not kind.startswith("sklearn.") or kind in (_FUNCTION, _COLUMN_TRANSFORMER) or _makes_frames(transformer):
        return False
    inner: Sequence[tuple[str, Any]] = [
        *getattr(transformer, "steps", ()),
        *getattr(transformer, "transformer_list", ()),
    ]
    return all(_is_plain(one) for _, one in inner)


def _is_passthrough(transformer: Any) -> bool:
    """Whether it changes nothing: once fitted, `passthrough` is a FunctionTransformer without a function."""
    if isinstance(transformer, str):
        return transformer == "passthrough"
    return _class(transformer) == _FUNCTION and transformer.func is None and not _makes_frames(transformer)


def _class(estimator: Any) -> str:
    """Its class by name: to compare with the class itself would import it for models that have none of them."""
    return f"{type(estimator).__module__}.{type(estimator).__name__}"


def _makes_frames(transformer: Any) -> bool:
    config = getattr(transformer, "_sklearn_output_config", {})
    return bool(config.get("transform", "default") != "default")


def _go_together(columns: Sequence[Column], transformer: Any) -> bool:
    """Whether one array holds these columns as the transformer would see them in a DataFrame."""
    kinds = {one.type for one in columns}
    if kinds & {"datetime", "binary"}:
        return False
    if len(kinds) == 1:
        return True
    while hasattr(transformer, "steps"):
        transformer = transformer.steps[0][1]
    return kinds <= {"integer", "long", "float", "double"} and type(transformer).__name__ not in _BY_COLUMN


def _transformed(group: Group, data: Columns) -> Any:
    transformer, names, is_alone = group
    values = [_as_in_frame(data.values[name]) for name in names]
    if is_alone:
        return transformer.transform(values[0])
    array = np.empty((data.rows, len(values)), dtype=np.result_type(*{one.dtype for one in values}))
    for index, one in enumerate(values):
        array[:, index] = one
    return array if transformer is None else transformer.transform(array)


def _as_in_frame(values: Array) -> Array:
    """pandas writes a missing string as NaN, unless there is nothing but missing ones."""
    if values.dtype.kind != "O":
        return values
    plain = values.tolist()
    if None not in plain or all(one is None for one in plain):
        return values
    return objects([np.nan if one is None else one for one in plain])


def _beside(parts: Sequence[Any], *, is_sparse: bool) -> Any:
    """The results of all transformers beside each other, sparse or not as it was when the model was fitted."""
    if is_sparse:
        import scipy.sparse  # type: ignore[import-untyped]

        return scipy.sparse.hstack(parts).tocsr()
    dense = [one.toarray() if hasattr(one, "toarray") else one for one in parts]
    return dense[0] if len(dense) == 1 else np.hstack(dense)
