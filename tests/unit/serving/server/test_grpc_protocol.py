"""The messages declared by us are those of the published protocol, as other implementations have them."""

import json
import subprocess
import sys

import pytest

from modelyard.serving.server import grpc_protocol

SHOW = """
import importlib, json, sys
file = importlib.import_module(sys.argv[1]).DESCRIPTOR
found = {}
def show(message):
    for field in message.fields:
        kind = field.message_type or field.enum_type
        found[f"{message.full_name}.{field.name}"] = [
            field.number, field.type, field.is_repeated, kind.full_name if kind else "",
            field.containing_oneof.name if field.containing_oneof else "",
        ]
    for nested in message.nested_types:
        show(nested)
for message in file.message_types_by_name.values():
    show(message)
print(json.dumps(found))
"""


def published(module):
    done = subprocess.run([sys.executable, "-c", SHOW, module], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def ours():
    found = {}

    def show(message):
        for field in message.fields:
            kind = field.message_type
            oneof = field.containing_oneof.name if field.containing_oneof else ""
            key = f"{message.full_name}.{field.name}"
            found[key] = [field.number, field.type, field.is_repeated, kind.full_name if kind else "", oneof]
        for nested in message.nested_types:
            show(nested)

    for name in grpc_protocol.MESSAGES:
        if "." not in name:
            show(grpc_protocol.message(name).DESCRIPTOR)
    return found


@pytest.fixture(scope="module", params=["tritonclient.grpc.service_pb2", "mlserver.grpc.dataplane_pb2"])
def theirs(request):
    return published(request.param)


def test_every_field_that_both_have_has_the_same_number_and_type(theirs):
    mine = ours()
    common = mine.keys() & theirs.keys()
    assert len(common) > 60
    assert {name: mine[name] for name in common} == {name: theirs[name] for name in common}


def test_no_field_of_the_messages_is_left_out(theirs):
    messages = {name.rpartition(".")[0] for name in ours()}
    assert {name for name in theirs if name.rpartition(".")[0] in messages} <= ours().keys()


def test_the_messages_live_beside_those_of_other_packages():
    code = (
        "import tritonclient.grpc.service_pb2, modelyard.serving.server.grpc_protocol as p; p.message('InferParameter')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_health_check_is_that_of_grpc():
    request, response = grpc_protocol.health_check()
    assert request(service="x").SerializeToString() == b"\n\x01x"
    assert response(status=1).SerializeToString() == b"\x08\x01"
