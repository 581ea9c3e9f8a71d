"""The platform descriptor as a file: the last resource of a stack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.descriptor import FILE_NAME, Descriptor, as_text
from modelyard.processes.files import write_private
from modelyard_infra.resources.local import Inputs, LocalProvider


class DescriptorFileProvider(LocalProvider):
    """Writes the descriptor once every part is there."""

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#descriptor"

    def make(self, inputs: Inputs) -> Inputs:
        write_private(Path(inputs["folder"]) / FILE_NAME, _content(inputs))
        return {}

    def difference(self, inputs: Inputs) -> str | None:
        try:
            found = (Path(inputs["folder"]) / FILE_NAME).read_text()
        except FileNotFoundError:
            return "the descriptor is gone"
        return None if found == _content(inputs) else "the descriptor was altered"

    def unmake(self, inputs: Inputs) -> None:
        (Path(inputs["folder"]) / FILE_NAME).unlink(missing_ok=True)


def _content(inputs: Inputs) -> str:
    return as_text(Descriptor.model_validate(inputs["document"]))


class DescriptorFile(Resource, module="modelyard", name="DescriptorFile"):
    """The descriptor of a platform, for the commands of this machine.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        document: The fields of `modelyard.descriptor.Descriptor`.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        document: Mapping[str, Any],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(DescriptorFileProvider(), resource_name, {"folder": folder, "document": dict(document)}, opts)
