"""Bodies of JSON requests: read them, and find which of MLflow's four forms an `/invocations` request has."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import orjson

from modelyard.serving.server.errors import RequestError, listed

Form = Literal["dataframe_split", "dataframe_records", "instances", "inputs"]
FORMS: tuple[Form, ...] = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CHAT = ("messages", "prompt", "input")
"""With one of these at the top MLflow takes the whole body for a chat request."""


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    NaN and Infinity are taken, which JSON doesn't have but Python's own `json`, and so MLflow's clients, write.

    Args:
        body: As it was received.

    Raises:
        RequestError: it is no JSON object; the message says where it stops being one.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body:
            raise RequestError("the request has no body; it has to be a JSON object") from None
        if b"NaN" not in body and b"Infinity" not in body:
            raise _not_json(error) from None
        found = _with_nan(body)
    if type(found) is not dict:
        raise RequestError(f"the request has to be a JSON object, not {_called(found)}")
    return found


def form_of(body: Mapping[str, Any]) -> tuple[Form, Any]:
    """Which form an `/invocations` request has, and its data.

    Args:
        body: The parsed request.

    Raises:
        RequestError: it has none of them, or more than one.
    """
    present = [form for form in FORMS if form in body]
    if len(present) != 1:
        got = f"it has {listed(body)}" if body else "it has none"
        raise RequestError(f"the request needs exactly one of {listed(FORMS)}; {got}")
    if chat := [key for key in _CHAT if key in body]:
        raise RequestError(f"{listed(chat)} beside {present[0]!r}: a request is either a chat or has inputs, not both")
    return present[0], body[present[0]]


def _with_nan(body: bytes) -> Any:
    try:
        found = json.loads(body.decode(), parse_int=_integer, parse_float=_decimal)
        if b"\\u" in body:
            json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _not_json(error) from None
    except UnicodeError as error:
        raise RequestError(f"the request is not valid UTF-8: {error}") from None
    except RecursionError:
        raise RequestError("the request is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise RequestError(f"the request is not JSON that can be read: {error}") from None
    return found


def _integer(text: str) -> int | float:
    """As orjson reads it: beyond 64 bits it is a float."""
    if len(text) < 19:
        return int(text)
    value = int(text) if len(text) < 30 else 2**64
    return value if -(2**63) <= value < 2**64 else _decimal(text)


def _decimal(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is larger than a double")
    return value


def _not_json(error: json.JSONDecodeError) -> RequestError:
    return RequestError(f"the request is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})")


def _called(found: object) -> str:
    names = cast("dict[type, str]", {list: "a list", str: "a string", bool: "true or false", type(None): "null"})
    return names.get(type(found), "a number")
