"""What the protocols see of a model: what it takes, what it gives, and how to ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelyard.serving.server.outputs import Output
from modelyard.serving.server.signature import Signature
from modelyard.serving.server.tensors import InputTensor


@dataclass(slots=True)
class Decoded:
    """A request's inputs as the model's predictor takes them.

    Attributes:
        data: A matrix, `Columns`, a dict of tensors, or what MLflow's `predict` takes.
        rows: How many rows it has; None: it can't be told, so it can't share a batch.
    """

    data: Any
    rows: int | None


class Inputs(Protocol):
    """How requests become inputs of one model."""

    def from_plain(self, tensors: list[dict[str, Any]]) -> Decoded | None:
        """A shortcut for the plainest V2 requests in JSON; None: take `from_tensors`, which also says what is wrong.

        Args:
            tensors: `inputs` as JSON has them, unchecked.
        """

    def from_tensors(self, tensors: Sequence[InputTensor]) -> Decoded:
        """The inputs of a V2 request.

        Raises:
            RequestError: they aren't what the signature says.
        """

    def from_json(self, body: Mapping[str, Any]) -> Decoded:
        """The inputs of an `/invocations` request in one of MLflow's four JSON forms.

        Args:
            body: The parsed request.

        Raises:
            RequestError: they aren't what the signature says.
        """

    def from_csv(self, text: str) -> Decoded:
        """The inputs of an `/invocations` request as CSV with a header.

        Raises:
            RequestError: they aren't what the signature says.
        """


@dataclass(slots=True)
class Question:
    """One request to a model.

    Attributes:
        inputs: Decoded.
        params: Inference parameters, checked against the signature.
        request_id: Names it in logs and in the payload log.
        client: Who asks, for fairness: requests with the same one take turns.
    """

    inputs: Decoded
    params: dict[str, Any]
    request_id: str
    client: object = None


@dataclass(slots=True)
class TensorMetadata:
    """An input or output in a model's metadata; -1 in a shape: any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


class ServedModel(Protocol):
    """One loaded version of a model."""

    name: str
    version: str
    platform: str
    signature: Signature
    input_metadata: tuple[TensorMetadata, ...]
    output_metadata: tuple[TensorMetadata, ...]
    facts: dict[str, Any]
    """How it is served: flavour, path, why not a faster one, batching, whether pickles were loaded."""

    @property
    def inputs(self) -> Inputs:
        """How its requests are read."""

    async def ask(self, question: Question) -> Output:
        """A prediction.

        Raises:
            RequestError: overloaded, refused by the model, failed or timed out.
        """


class Models(Protocol):
    """The models of one server."""

    @property
    def is_ready(self) -> bool:
        """Whether everything that should be loaded is, and the server isn't on its way out."""

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """A model that answers.

        Args:
            name: As it was deployed.
            version: None or empty: the current one.

        Raises:
            UnknownModel: there is none; the message lists those there are.
            NotReady: it is being loaded.
        """

    def versions(self, name: str) -> list[str]:
        """The versions of a model that answer."""

    def names(self) -> list[str]:
        """Every model that answers."""
