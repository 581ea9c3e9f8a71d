"""Messages of V2 over gRPC, declared here: nothing is generated, so there is nothing to generate again.

Source of names, numbers and types:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto, with what
Triton (parameters that are doubles and uint64) and MLServer (parameters of metadata) have added. Health:
https://github.com/grpc/grpc/blob/master/doc/health-checking.md

They live in a descriptor pool of their own: clients of other servers register messages of the same names in Python's
default pool, and the second to do that would fail.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_MAP = "map parameters"
_TENSOR_METADATA = ("1 string name", "2 string datatype", "3 *int64 shape", f"4 {_MAP}")
_TENSOR = ("1 string name", "2 string datatype", "3 *int64 shape", f"4 {_MAP}", "5 InferTensorContents contents")

MESSAGES: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": ("1 string name", "2 string version"),
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 *string extensions"),
    "ModelMetadataRequest": ("1 string name", "2 string version"),
    "ModelMetadataResponse": (
        "1 string name",
        "2 *string versions",
        "3 string platform",
        "4 *ModelMetadataResponse.TensorMetadata inputs",
        "5 *ModelMetadataResponse.TensorMetadata outputs",
        f"6 {_MAP}",
    ),
    "ModelMetadataResponse.TensorMetadata": _TENSOR_METADATA,
    "InferParameter": (
        "1 |bool bool_param",
        "2 |int64 int64_param",
        "3 |string string_param",
        "4 |double double_param",
        "5 |uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 *bool bool_contents",
        "2 *int32 int_contents",
        "3 *int64 int64_contents",
        "4 *uint32 uint_contents",
        "5 *uint64 uint64_contents",
        "6 *float fp32_contents",
        "7 *double fp64_contents",
        "8 *bytes bytes_contents",
    ),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_MAP}",
        "5 *ModelInferRequest.InferInputTensor inputs",
        "6 *ModelInferRequest.InferRequestedOutputTensor outputs",
        "7 *bytes raw_input_contents",
    ),
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", f"2 {_MAP}"),
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_MAP}",
        "5 *ModelInferResponse.InferOutputTensor outputs",
        "6 *bytes raw_output_contents",
    ),
    "ModelInferResponse.InferOutputTensor": _TENSOR,
}
"""Fields of each message: number, type (`*`: repeated, `|`: one of several), name; `map`: InferParameter by string."""

_HEALTH: dict[str, tuple[str, ...]] = {
    "HealthCheckRequest": ("1 string service",),
    "HealthCheckResponse": ("1 int32 status",),  # an enum, which travels as an int32
}
_Field = descriptor_pb2.FieldDescriptorProto


def _declare(message: Any, field: str, package: str) -> None:
    """Add one field of `MESSAGES` to a message."""
    number, kind, name = field.split()
    made = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind == "map":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _declare(entry, "1 string key", package)
        _declare(entry, "2 InferParameter value", package)
        made.label, made.type = _Field.LABEL_REPEATED, _Field.TYPE_MESSAGE
        made.type_name = f".{package}.{_full_name(message)}.{entry.name}"
        return
    if kind[0] == "*":
        made.label = _Field.LABEL_REPEATED
    if kind[0] == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        made.oneof_index = 0
    kind = kind.lstrip("*|")
    if kind[0].isupper():
        made.type, made.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
    else:
        made.type = getattr(_Field, f"TYPE_{kind.upper()}")


def _full_name(message: Any) -> str:
    return next(name for name in MESSAGES if name.rpartition(".")[2] == message.name)


def _classes(package: str, messages: dict[str, tuple[str, ...]]) -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name=f"modelyard/{package}.proto", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in messages.items():
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        for field in fields:
            _declare(made[name], field, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in messages}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_CLASSES = _classes("inference", MESSAGES)
_HEALTH_CLASSES = _classes("grpc.health.v1", _HEALTH)

Maker = Callable[..., Any]


def message(name: str) -> Maker:
    """A message's class.

    Args:
        name: As in `MESSAGES`.

    >>> message("ServerLiveResponse")(live=True).live
    True
    """
    return _CLASSES[name]


def methods() -> dict[str, tuple[type[Message], type[Message]]]:
    """Every method of the inference service, with the classes of its request and response."""
    names = [name.removesuffix("Request") for name in MESSAGES if name.endswith("Request")]
    return {name: (_CLASSES[f"{name}Request"], _CLASSES[f"{name}Response"]) for name in names}


def health_check() -> tuple[type[Message], type[Message]]:
    """The classes of the health service's request and response; status 1 is serving, 2 is not."""
    return _HEALTH_CLASSES["HealthCheckRequest"], _HEALTH_CLASSES["HealthCheckResponse"]
