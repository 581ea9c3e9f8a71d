"""Bodies of requests, as clients write them and as nobody should."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving.server.bodies import form_of, parse
from modelyard.serving.server.errors import RequestError
from tests.support import mlflow_inputs as mlflow_server

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text())
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES))
def test_whatever_pythons_json_writes_is_read_alike(value):
    text = json.dumps(value)
    if "\\ud" in text:  # half a character: refused or whole
        return
    assert repr(parse(text.encode())) == repr(value)


@given(st.binary(max_size=40))
def test_no_bytes_end_in_anything_but_an_object_or_a_refusal(body):
    found, refusal = mlflow_server.answer_or_refusal(lambda: parse(body))
    assert isinstance(found, dict) or refusal


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "has no body"),
        (b'{"a": 1,}', r"not valid JSON: trailing comma is not allowed \(line 1, column 8\)"),
        (b'{"a": NaN,}', r"not valid JSON: .* \(line 1, column"),
        (b"[]", "has to be a JSON object, not a list"),
        (b"NaN", "has to be a JSON object, not a number"),
        (b'"x"', "not a string"),
        (b"null", "not null"),
        (b'{"a": "\xff"}', "not valid"),
        (b'{"a": "\xffNaN"}', "not valid UTF-8"),
        (b'{"a": "\\ud800", "b": NaN}', "not valid UTF-8"),
        (b'{"a":' + b"[" * 100_000, "not valid JSON"),
        (b'{"a": NaN, "b":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN, "b": 1e400}', "larger than a double"),
        (b'{"a": NaN, "b": ' + b"1" * 5000 + b"}", "larger than a double"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_is_no_request_is_refused_with_the_place(body, message):
    with pytest.raises(RequestError, match=message):
        parse(body)


def test_nan_and_infinity_are_read():
    found = parse(b'{"a": [NaN, Infinity, -Infinity, 18446744073709551616, 9007199254740993]}')["a"]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, 2.0**64, 9007199254740993]
    assert type(found[3]) is float


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "needs exactly one of 'dataframe_split', 'dataframe_records', 'instances', 'inputs'; it has none"),
        ({"data": 1}, "it has 'data'"),
        ({"inputs": 1, "instances": 1}, "it has 'inputs', 'instances'"),
        ({"inputs": 1, "messages": []}, "'messages' beside 'inputs'"),
    ],
)
def test_a_request_has_exactly_one_form(body, message):
    with pytest.raises(RequestError, match=message):
        form_of(body)


def test_other_keys_are_ignored_as_mlflow_does():
    assert form_of({"inputs": [1], "params": {}, "comment": "x"}) == ("inputs", [1])
