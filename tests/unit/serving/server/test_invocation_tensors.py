"""Tensors of `/invocations` requests: the arrays MLflow would hand to the model, or refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from modelyard.serving.server.bodies import parse
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.invocation_tensors import tensors_from_json
from modelyard.serving.server.signature import Tensor
from tests.support import mlflow_inputs as mlflow_server

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool", "str"]
SHAPES = [(-1,), (-1, 1), (-1, 2), (-1, 2, 2), (2, -1), (3,)]
ODD = [None, True, 1.5, 1.0, -1, 300, 2**53 + 1, 2**63, 1e39, 7e4, "", "1", "x\0", math.nan, [], [1], {}]
FORMS = ["inputs", "instances", "instances as rows", "dataframe_split", "dataframe_records"]
USUAL = {"f": st.integers(-100, 100).map(lambda one: one / 4), "i": st.integers(-128, 127), "u": st.integers(0, 255)}
USUAL |= {"b": st.booleans(), "U": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=3)}


def nested(draw, cells, shape):
    if not shape:
        return draw(cells)
    return [nested(draw, cells, shape[1:]) for _ in range(shape[0])]


@st.composite
def requests(draw):
    names = draw(st.sampled_from([[None], ["x"], ["x", "y"]]))
    tensors = [Tensor(name, draw(st.sampled_from(DTYPES)), draw(st.sampled_from(SHAPES))) for name in names]
    form, rows, odd = draw(st.sampled_from(FORMS)), draw(st.integers(1, 3)), draw(st.booleans())
    found = {}
    for tensor in tensors:
        shape = list(tensor.shape)
        shape[0] = rows if shape[0] == -1 else shape[0]
        shape = [draw(st.integers(1, 2)) if one == -1 else one for one in shape]
        if odd and draw(st.integers(0, 5)) == 0:
            shape = draw(st.sampled_from([[rows], [rows, 2], [rows, 1, 2], []]))
        if form.startswith("dataframe") and len(shape) > 1 and tensor.name:
            shape = [shape[0], math.prod(shape[1:])]
        usual = USUAL[np.dtype(tensor.dtype).kind]
        cells = st.one_of(usual, usual, usual, st.sampled_from(ODD)) if odd else usual
        found[tensor.name] = nested(draw, cells, shape)
    return tensors, found, form


def body_of(found, form):
    """None: these tensors can't be sent in this form."""
    key = form.split()[0]
    if None in found:
        data = found[None]
        if form == "dataframe_split" and isinstance(data, list) and all(isinstance(row, list) for row in data):
            return {key: {"data": data}}
        if form == "dataframe_records" and isinstance(data, list) and all(isinstance(row, list) for row in data):
            return {key: [{f"c{at}": cell for at, cell in enumerate(row)} for row in data]}
        return {key: data} if form in ("inputs", "instances") else None
    if form in ("inputs", "instances"):
        return {key: found}
    if not all(isinstance(one, list) for one in found.values()) or len({len(one) for one in found.values()}) != 1:
        return None
    rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    if form == "dataframe_split":
        return {key: {"columns": list(found), "data": [list(row.values()) for row in rows]}}
    return {key: rows}


def flat(data):
    return [cell for one in data for cell in flat(one)] if isinstance(data, list) else [data]


def is_kept(sent, got, dtype):
    if isinstance(sent, (dict, list)):
        return False
    if dtype.kind == "U":
        return isinstance(sent, str) and sent == got
    if dtype.kind == "b":
        return type(sent) in (bool, int, float) and sent in (0, 1) and bool(sent) == bool(got)
    if type(sent) not in (int, float, *([type(None)] if dtype.kind == "f" else [])):
        return False
    if sent is None or math.isnan(sent):
        return dtype.kind == "f" and math.isnan(got)
    if dtype.kind == "f":
        if type(sent) is int and abs(sent) > 2**53 and dtype.itemsize < 8:
            return int(got) == sent if math.isfinite(got) else False
        return math.isinf(sent) or not math.isinf(got)
    return sent == got and (type(sent) is int or abs(sent) <= 2**53)


def is_lossless(tensors, found, theirs):
    for tensor in tensors:
        got = theirs if tensor.name is None else theirs[tensor.name]
        sent = flat(found[tensor.name])
        if len(sent) != got.size:
            return False
        if not all(
            is_kept(one, other, np.dtype(tensor.dtype)) for one, other in zip(sent, got.ravel().tolist(), strict=True)
        ):
            return False
    return True


def has_deep_or_uneven_cells(found, form):
    """Lists in lists in a cell of a DataFrame, or lists beside numbers: MLflow flattens them, whatever their shape."""
    columns = [data for data in found.values() if isinstance(data, list)]
    lists = [[cell for cell in data if isinstance(cell, list)] for data in columns]
    is_deep = any(isinstance(one, list) for cells in lists for cell in cells for one in cell)
    is_uneven = any(0 < len(cells) < len(data) for cells, data in zip(lists, columns, strict=True))
    return form.startswith("dataframe") and (is_deep or is_uneven)


def same_array(mine, other):
    assert isinstance(mine, np.ndarray)
    assert mine.dtype == other.dtype or mine.dtype.kind == other.dtype.kind == "U"  # the width follows the values
    assert mine.shape == other.shape
    assert np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f")


@given(requests())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore::Warning")
def test_tensors_become_what_mlflow_makes_of_them_or_are_refused(request):
    tensors, found, form = request
    body = body_of(found, form)
    if body is None:
        return
    note(f"{tensors} {json.dumps(body)}")
    try:
        theirs = mlflow_server.from_json(tensors, body)
    except mlflow_server.MlflowRefuses:
        with pytest.raises(RequestError):
            tensors_from_json(tensors, parse(json.dumps(body).encode()))
        return
    lossless = is_lossless(tensors, found, theirs) and not has_deep_or_uneven_cells(found, form)
    ours, refusal = mlflow_server.answer_or_refusal(
        lambda: tensors_from_json(tensors, parse(json.dumps(body).encode()))
    )
    assert lossless == (refusal is None), refusal or "taken although MLflow changes it"
    if ours is None:
        return
    if tensors[0].name is None:
        same_array(ours, theirs)
        return
    assert list(ours) == list(theirs)
    for name in ours:
        same_array(ours[name], theirs[name])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[1, 2], [3]], r"the lists don't have the shape \[-1, 2\]"),
        ([[1, 2, 3]], r"axis 1 has length 3; the shape is \[-1, 2\]"),
        ([[1, "x"]], "the input, row 1: 'x' is not valid; it takes numbers"),
        ({"x": [1, 2]}, "'inputs' has to be the input's values"),
        (5, "'inputs' has to be the input's values"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_said(data, message):
    with pytest.raises(RequestError, match=message):
        tensors_from_json([Tensor(None, "float64", (-1, 2))], {"inputs": data})
