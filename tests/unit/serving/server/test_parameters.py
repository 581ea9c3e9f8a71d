"""Inference parameters: what MLflow would call the model with, or refused."""

import math

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from mlflow.models.utils import _enforce_params_schema
from mlflow.types import ParamSchema, ParamSpec

from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.parameters import params
from modelyard.serving.server.signature import Param

DEFAULTS = {
    "boolean": True,
    "integer": 3,
    "long": 3,
    "float": 0.5,
    "double": 0.5,
    "string": "x",
    "datetime": "2026-01-31T09:30:00",
}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**53 + 1, 2**70, 10**400, 1.5, 1.0, math.inf]),
    st.sampled_from(["", "x", "1", "2026-01-31", "2026-01-31T09:30:00.5", "2026", "31.1.2026", "now", "NaT"]),
    st.sampled_from(["2026-01-31T09:30:00Z", "2026-13-01", "2026-01-31T09:30:00.123456789"]),
    st.just({}),
)


@st.composite
def calls(draw):
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
    declared = [
        Param(name, kind, [DEFAULTS[kind]] if listed else DEFAULTS[kind], (-1,) if listed else None)
        for name in names
        for kind in [draw(st.sampled_from(sorted(DEFAULTS)))]
        for listed in [draw(st.booleans())]
    ]
    values = st.one_of(VALUES, st.lists(VALUES, max_size=2), st.just([[1]]))
    return declared, draw(st.dictionaries(st.sampled_from("abcd"), values, max_size=3))


def is_guessed(declared, given):
    """Whether MLflow reads more into a value than it says: another day each time, the year 1, a rounded number."""
    for one in declared:
        value = given.get(one.name)
        for each in value if isinstance(value, list) else [value]:
            if (
                one.type == "datetime"
                and isinstance(each, str)
                and (each in ("now", "NaT", "", "1") or each.endswith("Z"))
            ):
                return True
            if one.type in ("float", "double") and type(each) is int and abs(each) < 10**300 and float(each) != each:
                return True
    return False


@given(calls())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_parameters_are_what_mlflow_makes_of_them_or_refused(call):
    declared, given = call
    note(f"{declared} {given}")
    schema = ParamSchema([ParamSpec(one.name, one.type, one.default, one.shape) for one in declared])
    try:
        theirs = _enforce_params_schema(dict(given), schema)
    except Exception:
        with pytest.raises(RequestError):
            params(declared, given)
        return
    if is_guessed(declared, given):
        with pytest.raises(RequestError):
            params(declared, given)
        return
    ours = params(declared, given)
    assert ours == theirs
    assert {name: type(one) for name, one in ours.items()} == {name: type(one) for name, one in theirs.items()}


def test_the_message_names_the_parameter_and_what_is_valid():
    with pytest.raises(RequestError, match=r"param 'a': '1' is not a number"):
        params([Param("a", "double", 1.0)], {"a": "1"})


def test_a_model_without_parameters_ignores_them():
    assert params([], {"a": 1}) == {}
