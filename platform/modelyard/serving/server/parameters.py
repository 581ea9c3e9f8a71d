"""Inference parameters of a request, checked against the signature as MLflow does."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.signature import Param

_PYTHON: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "string": (str,),
    "object": (dict,),
}
_VALID = {
    "boolean": "true or false",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "a string",
    "object": "an object",
    "datetime": "ISO 8601 without a time zone, such as 2026-01-31T09:30:00",
}
_DATETIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?)?")


def params(signature_params: Sequence[Param], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters to call a model with.

    Args:
        signature_params: Of the signature; without any, whatever is given is ignored.
        given: By name, from JSON; unknown names are ignored; None: nothing is given.

    Returns:
        Every parameter of the signature, those not given with their default, as Python's own types.

    Raises:
        RequestError: naming the parameter that isn't what the signature says.
    """
    if not signature_params:
        return {}
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise RequestError("'params' has to be an object with values by parameter name")
    return {param.name: _value(param, given.get(param.name, param.default)) for param in signature_params}


def _value(param: Param, value: Any) -> Any:
    if param.shape is None:
        return _scalar(param, value)
    if type(value) is not list or any(type(one) in (list, dict) for one in value):
        raise RequestError(f"param {param.name!r}: {_shown(value)} is not a flat list")
    return [_scalar(param, one) for one in value]


def _scalar(param: Param, value: Any) -> Any:
    if value is None:
        return None
    if param.type == "datetime":
        return _datetime(param, value)
    if type(value) not in _PYTHON.get(param.type, ()):
        raise RequestError(f"param {param.name!r}: {_shown(value)} is not {_VALID.get(param.type, param.type)}")
    if param.type in ("float", "double") and type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            number = 0.0
        if number != value:
            raise RequestError(f"param {param.name!r}: {_shown(value)} is more than a {param.type} can hold exactly")
        return number
    return value


def _datetime(param: Param, value: Any) -> datetime.date:
    if type(value) is str and _DATETIME.fullmatch(value):
        try:
            found = np.datetime64(value).item()
            assert isinstance(found, datetime.date)  # at most microseconds: it is no int
            return found
        except ValueError:
            pass
    raise RequestError(f"param {param.name!r}: {_shown(value)} is not {_VALID['datetime']}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
