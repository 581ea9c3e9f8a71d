"""A file that only its owner may read, with secrets filled in where it is written and nowhere else."""

from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.processes.files import SecretFiles, write_private
from modelyard_infra.resources.local import Inputs, LocalProvider


class PrivateFileProvider(LocalProvider):
    """Writes the file; `up` mends one that was altered."""

    replaced_by = ("folder", "path")
    outputs = ("absolute",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#file:{inputs['path']}"

    def make(self, inputs: Inputs) -> Inputs:
        path = Path(inputs["folder"]) / inputs["path"]
        write_private(path, _content(inputs))
        return {"absolute": str(path)}

    def difference(self, inputs: Inputs) -> str | None:
        try:
            found = (Path(inputs["folder"]) / inputs["path"]).read_text()
            return None if found == _content(inputs) else "the file was altered"
        except OSError:
            return "the file is gone"

    def unmake(self, inputs: Inputs) -> None:
        (Path(inputs["folder"]) / inputs["path"]).unlink(missing_ok=True)


def _content(inputs: Inputs) -> str:
    return SecretFiles(Path(inputs["folder"]) / "secrets").fill(inputs["content"])


class PrivateFile(Resource, module="modelyard", name="PrivateFile"):
    """One private file.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        path: Where below it.
        content: What is in it; `${secret:NAME}` stands for a secret of the platform.
    """

    absolute: Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        path: str,
        content: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"folder": folder, "path": path, "content": content, "absolute": None}
        super().__init__(PrivateFileProvider(), resource_name, inputs, opts)
