"""CSV requests: the frame MLflow would hand to the model, or refused."""

import csv
import io
import math

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from modelyard.serving.server.columns import ColumnInputs
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.invocation_csv import columns_from_csv
from modelyard.serving.server.signature import Column
from tests.support import mlflow_inputs as mlflow_server

TYPES = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
WORDS = [
    "",
    "NA",
    "None",
    "null",
    "nan",
    "1",
    "-7",
    "1.0",
    "1.7",
    "3000000000",
    "1e400",
    "1e39",
    "true",
    "True",
    "FALSE",
]
MORE = [
    "0.1",
    " 1",
    "1 ",
    "0x10",
    "1_000",
    "+5",
    "x,y",
    'a"b',
    "inf",
    "2024-01-31",
    "99999999999999999999",
    "é",
    "#",
    "01",
]
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
CELLS = st.one_of(st.sampled_from(WORDS + MORE), st.integers(-(2**40), 2**40).map(str), FLOATS)
USUAL = {
    "boolean": st.sampled_from(["true", "false", "True", "False"]),
    "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "long": st.integers(-(2**63), 2**63 - 1).map(str),
    "float": st.floats(-1e6, 1e6).map(repr),
    "double": FLOATS,
    "string": st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=5),
}


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(["a", "b b", "ü"]), min_size=1, unique=True))
    columns = [Column(name, draw(st.sampled_from(TYPES)), draw(st.booleans())) for name in names]
    sent = [name for name in names if draw(st.integers(0, 9))] + draw(st.sampled_from([[], ["extra"]]))
    kinds = {column.name: column.type for column in columns}
    rows = []
    odd = draw(st.integers(0, 1))
    for _ in range(draw(st.integers(1, 3))):
        row = []
        for name in sent:
            usual = USUAL.get(kinds.get(name, ""), CELLS)
            row.append(draw(CELLS if odd and not draw(st.integers(0, 3)) else usual))
        rows.append(row)
    return columns, sent, rows


def written(names, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    return text.getvalue()


def as_number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def is_kept(column, text, got):
    if column.type == "string":
        return mlflow_server.is_missing(got) if text == "" else got == text
    if column.type == "boolean":
        return got == {"true": 1, "false": 0}.get(text.lower(), as_number(text))
    if column.type in ("integer", "long"):
        number = as_number(text)
        return number == got and (type(number) is int or abs(got) <= 2**53)
    if column.type in ("float", "double"):
        return math.isnan(got) or (as_number(text) is not None and (not math.isinf(got) or "inf" in text))
    return False


@given(tables())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_csv_becomes_what_mlflow_makes_of_it_or_is_refused(table):
    columns, names, rows = table
    text = written(names, rows)
    note(f"{[(one.name, one.type, one.required) for one in columns]} {text!r}")
    try:
        theirs = mlflow_server.from_csv(columns, text)
    except mlflow_server.MlflowRefuses:
        with pytest.raises(RequestError):
            columns_from_csv(ColumnInputs(columns), text)
        return
    lossless = len(theirs) == len(rows) and all(
        is_kept(column, row[names.index(column.name)], got)
        for column in columns
        if column.name in theirs
        for row, got in zip(rows, theirs[column.name].tolist(), strict=True)
    )
    ours, refusal = mlflow_server.answer_or_refusal(lambda: columns_from_csv(ColumnInputs(columns), text))
    kept_something = lossless and len(theirs.columns) > 0
    assert kept_something == (refusal is None), refusal or "taken although MLflow changes it"
    if ours is None:
        return
    assert list(ours.values) == list(theirs.columns)
    for name, values in ours.values.items():
        assert str(values.dtype) == str(theirs[name].dtype)
        for mine, other in zip(values.tolist(), theirs[name].tolist(), strict=True):
            assert mlflow_server.same_value(mine, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the CSV has no row"),
        ("a,b\n", "the CSV has no row"),
        ("a,b\n1,2,3\n", "row 0 of the CSV has 3 fields; its header has 2"),
        ("a,b\n1\n", "row 0 of the CSV has 1 fields"),
        ("a,b\n1,x\n\n2,y\n", "row 1 of the CSV has 0 fields"),
        ("a,a,b\n1,2,x\n", "header has 'a' twice"),
        ('a,b\n1,"x\n', "not valid CSV"),
        ("a,b\n1.5,x\n", "column 'a', row 0: '1.5' is not valid; it takes long"),
        ("a,b\n1,x\n2,NA\n", "column 'b', row 1: MLflow takes the text 'NA' for a missing value"),
        ("a\n1\n", "required inputs are missing: 'b'"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(text, message):
    with pytest.raises(RequestError, match=message):
        columns_from_csv(ColumnInputs([Column("a", "long"), Column("b", "string")]), text)


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_at_the_end_are_fine():
    found = columns_from_csv(ColumnInputs([Column("a", "long"), Column("b", "string")]), "\ufeffa,b\r\n1,x\r\n\r\n")
    assert found.values["a"].tolist() == [1]
    assert found.values["b"].tolist() == ["x"]
