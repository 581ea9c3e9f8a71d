"""What MLflow's own server hands to a model, to compare with, and whether that is still what was sent."""

import base64
import io
import json
import logging
import math
import re

import numpy as np
import pandas as pd
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import _parse_json_data, parse_csv_input
from mlflow.types import ColSpec, Schema, TensorSpec

from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.signature import Column

logging.getLogger("mlflow.models.utils").setLevel(logging.ERROR)  # it warns of every column that it ignores
ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{3,9})?)?")
EXACT = 2**53


class MlflowRefuses(Exception):
    pass


def schema_of(inputs):
    specs = [
        ColSpec(one.type, one.name, one.required)
        if isinstance(one, Column)
        else TensorSpec(np.dtype(one.dtype), one.shape, one.name)
        for one in inputs
    ]
    return Schema(specs)


def from_json(inputs, body):
    """The model's input for a request of JSON, or MlflowRefuses."""
    schema = schema_of(inputs)
    try:
        return _enforce_schema(_parse_json_data(json.dumps(body), object(), schema).data, schema)
    except Exception as error:
        raise MlflowRefuses(str(error)) from error


def from_csv(inputs, text):
    """The model's input for a request of CSV, or MlflowRefuses."""
    schema = schema_of(inputs)
    try:
        return _enforce_schema(parse_csv_input(io.StringIO(text), schema), schema)
    except Exception as error:
        raise MlflowRefuses(str(error)) from error


def answer_or_refusal(ask):
    """What is returned, and what was said if it was refused."""
    try:
        return ask(), None
    except RequestError as error:
        return None, str(error)


def is_missing(value):
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def is_kept(column, sent, got, *, framed):
    """Whether a cell that a model got is the JSON value that was sent, and the only one it can mean."""
    kind = column.type
    if kind == "string":
        return isinstance(got, str) and got == sent if isinstance(sent, str) else is_missing(sent) and is_missing(got)
    if kind == "binary":
        if not isinstance(sent, str):
            return False
        return base64.b64encode(got).decode() == sent.replace("\n", "") if framed else got == sent.encode()
    if kind == "datetime":
        if sent is None:
            return is_missing(got)
        return isinstance(sent, str) and bool(ISO.fullmatch(sent)) and pd.Timestamp(sent) == got
    if kind in ("double", "float"):
        if sent is None:
            return is_missing(got)
        if type(sent) is int and kind == "float" and abs(sent) > EXACT:
            return got == sent
        return type(sent) in (int, float) and (
            (is_missing(sent) and is_missing(got))
            or ((math.isinf(sent) or not math.isinf(got)) and np.isclose(sent, got))
        )
    if kind == "boolean":
        return type(sent) in (bool, int, float) and sent in (0, 1) and bool(got) == bool(sent)
    if type(sent) is float:
        return sent.is_integer() and abs(sent) <= EXACT and got == sent
    return type(sent) is int and got == sent


def same_frame(ours, theirs):
    """Asserts that two DataFrames are the same to a model: columns, dtypes and values."""
    assert list(ours.columns) == list(theirs.columns)
    assert [str(one) for one in ours.dtypes] == [str(one) for one in theirs.dtypes]
    for name in ours.columns:
        for mine, other in zip(ours[name].tolist(), theirs[name].tolist(), strict=True):
            assert same_value(mine, other), (name, mine, other)


def same_value(mine, other):
    if is_missing(mine) or is_missing(other):
        return type(mine) is type(other)
    text = isinstance(mine, (str, bytes)) and isinstance(other, type(mine))
    return mine == other and (text or type(mine) is type(other))
