"""A secret that is generated on the machine that uses it, and never leaves it.

It lies in a file that only its owner may read; the state holds its name and path. What needs it reads the
file, so no secret is in the state, in a process's arguments, or in a log.
"""

from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.processes.files import SecretFiles
from modelyard_infra.contracts import SecretReference
from modelyard_infra.resources.local import Inputs, LocalProvider


class GeneratedSecretProvider(LocalProvider):
    """Generates the secret once."""

    replaced_by = ("folder", "name")
    outputs = ("path",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#secret:{inputs['name']}"

    def make(self, inputs: Inputs) -> Inputs:
        path = SecretFiles(Path(inputs["folder"]) / "secrets").ensure(inputs["name"], length=int(inputs["length"]))
        return {"path": str(path)}

    def difference(self, inputs: Inputs) -> str | None:
        path = SecretFiles(Path(inputs["folder"]) / "secrets").path(inputs["name"])
        return None if path.exists() else "its file is gone; a new secret will be generated"

    def unmake(self, inputs: Inputs) -> None:
        SecretFiles(Path(inputs["folder"]) / "secrets").path(inputs["name"]).unlink(missing_ok=True)


class GeneratedSecret(Resource, module="modelyard", name="GeneratedSecret"):
    """One generated secret of a local platform.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        name: Its file's name in the platform's `secrets` folder.
        length: Letters and digits in it.
    """

    name: Output[str]
    path: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        name: str,
        length: int = 32,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"folder": folder, "name": name, "length": length, "path": None}
        super().__init__(GeneratedSecretProvider(), resource_name, inputs, opts)

    @property
    def reference(self) -> SecretReference:
        """What contracts carry."""
        return SecretReference(self.name, self.path)
