"""Envoy's own answers: JSON that says what to do, or a gRPC status with the same words."""

from modelyard.serving.documents import Document
from modelyard.serving.settings import RouterSettings

GRPC_STATUSES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 431: 8, 503: 14, 504: 4}
"""What gRPC calls them (google.rpc.Code); Envoy's own choice is UNKNOWN or UNAVAILABLE for several of them."""


def local_replies(settings: RouterSettings) -> Document:
    """The listener's `local_reply_config`."""
    replies = (
        (401, (), _who_asks(settings)),
        (403, (), _who_asks(settings)),
        (413, (), f"the request body is larger than {settings.max_request_mib} MiB: send fewer rows per request"),
        (504, (), f"the model did not answer within {settings.request_timeout_seconds:g} s"),
        (408, (), f"the request did not arrive within {settings.receive_timeout_seconds:g} s"),
        (431, (), "the request's headers are too large"),
        (503, ("UO",), "too many requests are waiting for this model: try again later"),
        (503, ("UH",), "no replica of this model is ready: `modelyard models` says why; try again later"),
        (503, ("UF", "UC", "URX", "LR", "UR"), "the model's replica went away: try again"),
        (503, ("NC",), "this model is just being set up: try again"),
    )
    as_status = [_grpc(status, flags, hint) for status, flags, hint in replies] if settings.grpc else []
    return {"mappers": [*as_status, *(_json(status, flags, hint) for status, flags, hint in replies)]}


def _who_asks(settings: RouterSettings) -> str:
    if settings.jwt is not None:
        return f"send a token of {settings.jwt.issuer} that is still valid: `Authorization: Bearer TOKEN`"
    return "send an API key that is valid here: `x-api-key: KEY` or `Authorization: Bearer KEY`"


def _json(status: int, flags: tuple[str, ...], hint: str) -> Document:
    body = {"error": _text(hint), "status": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
    scheme = {"headers_to_add": [_header("www-authenticate", 'Bearer realm="modelyard"')]} if status == 401 else {}
    return {"filter": _when(status, flags), "body_format_override": {"json_format": body}} | scheme


def _grpc(status: int, flags: tuple[str, ...], hint: str) -> Document:
    is_grpc = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
    return {
        "filter": _when(status, flags, is_grpc),
        "headers_to_add": [_header("grpc-status", str(GRPC_STATUSES[status]))],
        "body_format_override": {"text_format_source": {"inline_string": _text(hint)}},
    }


def _when(status: int, flags: tuple[str, ...], *more: Document) -> Document:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"modelyard.reply.{status}"}}
    filters = [{"status_code_filter": {"comparison": comparison}}, *more]
    if flags:
        filters.append({"response_flag_filter": {"flags": list(flags)}})
    return {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0]


def _header(name: str, value: str) -> Document:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _text(hint: str) -> str:
    """As Envoy's formats want it: a percent sign begins a command there."""
    return hint.replace("%", "%%")
