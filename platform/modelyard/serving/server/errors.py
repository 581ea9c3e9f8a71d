"""What can go wrong with one request, each with its HTTP status and the name it has in metrics."""

from collections.abc import Iterable
from difflib import get_close_matches


class RequestError(Exception):
    """A request that gets no prediction.

    Args:
        message: What was wrong and what is valid, for whoever sent the request.
        retry_after: Seconds after which to try again, if that may help.

    Attributes:
        status: HTTP status code.
        kind: Label of the errors metric.
        grpc: Name of the gRPC status code.
    """

    status = 400
    kind = "invalid_request"
    grpc = "INVALID_ARGUMENT"

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownModel(RequestError):
    """Neither the model nor the version is loaded here."""

    status, kind, grpc = 404, "unknown_model", "NOT_FOUND"


class NotFound(RequestError):
    """There is nothing at this path."""

    status, kind, grpc = 404, "not_found", "UNIMPLEMENTED"


class Forbidden(RequestError):
    """Not for whoever asks."""

    status, kind, grpc = 403, "forbidden", "PERMISSION_DENIED"


class MethodNotAllowed(RequestError):
    """The path is right, the method isn't.

    Args:
        allowed: The method that is.
    """

    status, kind, grpc = 405, "method_not_allowed", "UNIMPLEMENTED"

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class SlowClient(RequestError):
    """The request didn't arrive in time."""

    status, kind, grpc = 408, "slow_client", "DEADLINE_EXCEEDED"


class TooLarge(RequestError):
    """The request is larger than this server takes."""

    status, kind, grpc = 413, "too_large", "RESOURCE_EXHAUSTED"


class UnsupportedMediaType(RequestError):
    """A content type that this path doesn't take."""

    status, kind, grpc = 415, "unsupported_media_type", "INVALID_ARGUMENT"


class Overloaded(RequestError):
    """As many requests wait as may."""

    status, kind, grpc = 429, "overloaded", "RESOURCE_EXHAUSTED"


class RefusedByModel(RequestError):
    """The model raised ValueError: it says that these inputs are no good."""

    kind = "refused_by_model"


class ModelFailed(RequestError):
    """The model raised something else, or answered with something that is no answer to this request."""

    status, kind, grpc = 500, "model_failed", "INTERNAL"


class NotReady(RequestError):
    """The model is being loaded, or the server is on its way out."""

    status, kind, grpc = 503, "not_ready", "UNAVAILABLE"


class PredictionTimeout(RequestError):
    """The model took longer than a request may take."""

    status, kind, grpc = 504, "timeout", "DEADLINE_EXCEEDED"


class ModelRefused(Exception):
    """A model that can't be loaded, or won't be: the message says why and what to do."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    >>> did_you_mean("tmep", ["temp", "hum"])
    " (did you mean 'temp'?)"
    """
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def listed(names: Iterable[str], limit: int = 20) -> str:
    """
    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    every = [repr(name) for name in names]
    more = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {more} more" if more > 0 else "")
