"""A secret that is generated when the stack is made, for those who can only be handed one: Secrets of a cluster.

It is in the stack's state, encrypted. A local platform has `GeneratedSecret`, which keeps it out of there.
"""

import secrets
import string

from pulumi import Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard_infra.resources.local import Inputs, LocalProvider

ALPHABET = string.ascii_letters + string.digits


class GeneratedPasswordProvider(LocalProvider):
    """Generates it once; it stays the same until the resource is replaced."""

    replaced_by = ("length",)
    outputs = ("value",)

    def identity(self, inputs: Inputs) -> str:
        return f"password:{secrets.token_hex(8)}"

    def make(self, inputs: Inputs) -> Inputs:
        if inputs.get("value"):
            return {"value": inputs["value"]}
        return {"value": "".join(secrets.choice(ALPHABET) for _ in range(int(inputs["length"])))}

    def difference(self, inputs: Inputs) -> str | None:
        return None

    def unmake(self, inputs: Inputs) -> None:
        pass


class GeneratedPassword(Resource, module="modelyard", name="GeneratedPassword"):
    """One generated secret.

    Args:
        resource_name: Its name in the stack.
        length: Letters and digits in it.
    """

    value: Output[str]

    def __init__(self, resource_name: str, *, length: int = 32, opts: ResourceOptions | None = None) -> None:
        secret = ResourceOptions(additional_secret_outputs=["value"])
        inputs = {"length": length, "value": None}
        super().__init__(GeneratedPasswordProvider(), resource_name, inputs, ResourceOptions.merge(opts, secret))
