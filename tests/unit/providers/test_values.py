import base64

import pytest
from google.protobuf.struct_pb2 import Struct

from tests.support.providers.kubernetes.errors import Unsupported
from tests.support.providers.kubernetes.values import UNKNOWN, Properties, read, secrets_of, write

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def struct(value):
    message = Struct()
    message.update(value)
    return message


def test_whole_numbers_are_integers_and_nulls_are_left_out():
    found = read(struct({"replicas": 2, "share": 0.5, "none": None, "flag": True})).value
    assert found == {"replicas": 2, "share": 0.5, "flag": True}
    assert isinstance(found["replicas"], int)


def test_secrets_are_unwrapped_and_remembered():
    found = read(struct({"env": [{"value": {SIGNATURE: SECRET, "value": "sesame"}}]}))
    assert found.value == {"env": [{"value": "sesame"}]}
    assert found.secrets == {("env", 0, "value")}


def test_unknowns_are_known_to_be():
    found = read(struct({"spec": {"host": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}}))
    assert found.value["spec"]["host"] is UNKNOWN
    assert found.has_unknowns


def test_what_is_written_reads_the_same():
    properties = Properties({"a": {"b": "secret"}, "c": [UNKNOWN, 1, None]}, frozenset({("a", "b")}))
    assert read(write(properties)) == properties


def test_an_asset_is_refused():
    with pytest.raises(Unsupported, match="at 'file'"):
        read(struct({"file": {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "x"}}))


def test_a_secret_text_is_secret_wherever_it_shows_up():
    inputs = Properties({"spec": {"key": "sesame"}}, frozenset({("spec", "key")}))
    encoded = base64.b64encode(b"sesame").decode()
    outputs = {"spec": {"key": "sesame"}, "status": {"url": "db://sesame@host", "items": [encoded, "other"]}}
    assert secrets_of(inputs, outputs) == {("spec", "key"), ("status", "url"), ("status", "items", 0)}


def test_all_that_a_secret_holds_is_secret():
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "b"}, "type": "Opaque"}
    assert secrets_of(Properties({}), secret) == {("data",)}
