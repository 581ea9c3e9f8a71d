"""Columns of `/invocations` requests: the frame MLflow would hand to the model, or refused. Never a third thing."""

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from modelyard.serving.server import invocations
from modelyard.serving.server.columns import ColumnInputs
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.predictors import frame
from modelyard.serving.server.signature import Column
from tests.support import mlflow_inputs as mlflow_server

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs", "instances as lists", "inputs as lists")
BIG = [2**31, 2**53 + 1, 2**60, -(2**63), 2**63, 2**70, 1e20, 1e39, 1e300]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(BIG),
    st.floats(-3, 3),
    st.sampled_from([math.nan, math.inf, 1.0, 0.0, -0.0]),
    st.sampled_from(["", "1.5", "true", "NaN", "None", "x\0", "é", "YQ==", "YR==", "Y Q==", "2024-01-31", "31.1.2024"]),
    st.sampled_from([[], [1], {}, {"a": 1}]),
)
TIMES = st.sampled_from(["2024-01-31T09:30:00", "1999-12-31T23:59:59", "2262-04-11T00:00:00"])
PLAIN = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-1000, 1000)),
    "double": st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-(2**64), 2**64)),
    "string": st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)),
    "binary": st.binary(max_size=70).map(lambda one: base64.encodebytes(one).decode()),
    "datetime": st.one_of(st.none(), TIMES),
}
NAMES = ["a", "b b", "ü", "0", "index", "data"]
pytestmark = pytest.mark.filterwarnings("ignore::Warning")
few = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def requests(draw, odd):
    """Columns, rows (dicts, an optional column may be missing in some) and the form to send them in."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    columns = [Column(name, draw(st.sampled_from(sorted(PLAIN))), draw(st.booleans())) for name in names]
    rows = draw(st.integers(1, 4))
    form = draw(st.sampled_from(FORMS))
    framed = form.startswith("dataframe")
    values = {}
    for column in columns:
        if not column.required and draw(st.integers(0, 3)) == 0:
            continue
        plain = PLAIN[column.type]
        if not framed and column.type == "string":
            plain = st.text(st.characters(codec="utf-8"), max_size=5)
        if not framed and column.type == "binary":
            plain = st.text(st.characters(codec="ascii"), max_size=5)
        each = st.one_of(plain, ODD) if odd and draw(st.booleans()) else plain
        values[column.name] = draw(st.lists(each, min_size=rows, max_size=rows))
    if draw(st.booleans()):
        values["extra"] = list(range(rows))
    order = draw(st.permutations(list(values)))
    table = [{name: values[name][at] for name in order} for at in range(rows)]
    if odd and draw(st.integers(0, 4)) == 0 and len(order) > form.endswith("lists"):
        table[draw(st.integers(0, rows - 1))].pop(draw(st.sampled_from(order)))
    return columns, table, form


def body_of(table, form):
    names = list(dict.fromkeys(name for row in table for name in row))
    if form == "dataframe_split":
        data = [[row[name] for name in names if name in row] for row in table]
        return {form: {"columns": names, "data": data, "index": list(range(5, 5 + len(table)))}}
    if form.endswith("as lists"):
        return {form.split()[0]: {name: [row[name] for row in table if name in row] for name in names}}
    return {form: table}


def is_lossless(columns, table, form, theirs):
    """Whether every cell that MLflow hands to the model is one that was sent; a gap is one only if it's optional."""
    if form not in ("dataframe_records", "inputs") and any(len(row) != len(table[0]) for row in table):
        return False
    for column in columns:
        for row, got in zip(
            table, theirs[column.name].tolist() if column.name in theirs else [None] * 99, strict=False
        ):
            if column.name not in row:
                if not column.required and column.name in theirs and not mlflow_server.is_missing(got):
                    return False
                if any(column.name in other for other in table) and (column.required or column.type == "boolean"):
                    return False
            elif not mlflow_server.is_kept(column, row[column.name], got, framed=form.startswith("dataframe")):
                return False
    return True


def compare(columns, table, form):
    body = body_of(table, form)
    note(f"{[(one.name, one.type, one.required) for one in columns]} {json.dumps(body)}")
    inputs = ColumnInputs(columns)
    try:
        theirs = mlflow_server.from_json(columns, body)
    except mlflow_server.MlflowRefuses:
        with pytest.raises(RequestError):
            invocations.columns_from_json(inputs, invocations.parse(json.dumps(body).encode()))
        return
    lossless = len(theirs) == len(table) and is_lossless(columns, table, form, theirs)
    ours, refusal = mlflow_server.answer_or_refusal(
        lambda: invocations.columns_from_json(inputs, invocations.parse(json.dumps(body).encode()))
    )
    assert lossless == (refusal is None), refusal or "taken although MLflow changes it"
    if ours:
        mlflow_server.same_frame(frame(ours), theirs)


@given(requests(odd=False))
@few
def test_plain_requests_become_the_frame_that_mlflow_makes(request):
    compare(*request)


@given(requests(odd=True))
@settings(few, max_examples=600)
def test_odd_requests_are_refused_exactly_where_mlflow_refuses_or_changes_values(request):
    compare(*request)


@given(requests(odd=True), st.sampled_from(["double", "float", "long", "integer"]))
@few
def test_the_shortcut_gives_what_the_general_way_gives_or_nothing(request, kind):
    columns, table, form = request
    columns = [Column(column.name, kind) for column in columns]
    body = body_of(table, form)
    note(f"{kind} {json.dumps(body)}")
    plain = invocations.matrix_from_json(columns, body)
    if plain is None:
        return
    general = invocations.columns_from_json(ColumnInputs(columns), body)
    assert plain.dtype == np.dtype(columns[0].dtype)
    assert plain.flags.c_contiguous
    np.testing.assert_array_equal(plain, np.column_stack(list(general.values.values())))


def test_plain_rows_take_the_shortcut():
    columns = [Column("a", "double"), Column("b", "double")]
    split = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [None, 4]]}}
    records = {"dataframe_records": [{"b": 2.5, "a": 1}], "params": {}}
    np.testing.assert_array_equal(invocations.matrix_from_json(columns, split), [[1, 2.5], [math.nan, 4]])
    np.testing.assert_array_equal(invocations.matrix_from_json(columns, records), [[1, 2.5]])
    np.testing.assert_array_equal(invocations.matrix_from_json(columns, {"instances": [{"a": 1, "b": 2}]}), [[1, 2]])


LONG = [Column("a", "long"), Column("b", "string", required=False)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1.7]]}}, "column 'a', row 1: 1.7 is not valid"),
        ({"dataframe_split": {"columns": ["a"], "data": [["1"]]}}, "column 'a', row 0: '1' is not valid"),
        ({"dataframe_split": {"columns": ["a"], "data": [[True]]}}, "column 'a', row 0: true is not valid"),
        ({"dataframe_split": {"columns": ["a"], "data": [[None]]}}, "null is not valid; it takes whole numbers"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, "row 0 has 1 values; there are 2 columns"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "column 'a' is there twice"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "no row to predict"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [1, 2]}}, "'index' has to be a list of 1"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]], "dtypes": []}}, "it has 'columns', 'data', 'dtypes'"),
        ({"dataframe_split": [[1]]}, "dataframe_split has to be an object"),
        ({"dataframe_split": {"data": [[1]]}}, "'columns' has to be a list"),
        ({"dataframe_records": {"a": [1]}}, "dataframe_records has to be a list of objects"),
        ({"dataframe_records": [{"a": 1}, {}]}, "column 'a', row 1: it is missing; row 0 has it"),
        ({"dataframe_records": [{"x": 1}]}, "required inputs are missing: 'a'"),
        ({"instances": [{"a": 1, "b": None}]}, "column 'b', row 0: null is not valid; it takes strings"),
        ({"instances": [{"a": 1}, {"a": 2, "b": "x"}]}, "row 1 has other columns than row 0: they differ in 'b'"),
        ({"instances": [[1, 2]]}, "the columns have names"),
        ({"inputs": {"a": [1, 2], "b": ["x"]}}, "column 'b' has 1 rows, 'a' has 2"),
        ({"inputs": {"a": [1, 2], "b": "x"}}, "column 'b': one value, but others have lists"),
        ({"inputs": {"a": 1, "c": 2}}, "the model has no column 'c'"),
        ({"inputs": 5}, "has to be a list of objects or an object of lists"),
        ({"inputs": {}}, "required inputs are missing: 'a'"),
    ],
    ids=lambda one: json.dumps(one)[:50] if isinstance(one, dict) else "",
)
def test_what_is_wrong_with_a_request_is_said(body, message):
    with pytest.raises(RequestError, match=message):
        invocations.columns_from_json(ColumnInputs(LONG), body)


def test_extra_columns_are_ignored_and_can_be_told():
    inputs = ColumnInputs(LONG)
    for body in (
        {"dataframe_split": {"columns": ["x", "a"], "data": [[0, 1]]}},
        {"dataframe_records": [{"a": 1, "x": 0}]},
        {"instances": [{"a": 1, "x": 0}]},
        {"inputs": {"a": [1], "x": [0]}},
    ):
        assert invocations.columns_from_json(inputs, body).values["a"].tolist() == [1]
        assert invocations.extra_columns(inputs, body) == ["x"]
