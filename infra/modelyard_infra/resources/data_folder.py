"""A folder with data that outlives every process: destroying it is what deletes the data."""

import shutil
from contextlib import suppress
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard_infra.resources.local import Inputs, LocalProvider


class DataFolderProvider(LocalProvider):
    """Makes the folder, and keeps what is in it."""

    replaced_by = ("folder", "path")
    outputs = ("absolute",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#data:{inputs['path']}"

    def make(self, inputs: Inputs) -> Inputs:
        path = Path(inputs["folder"]) / inputs["path"]
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {"absolute": str(path)}

    def difference(self, inputs: Inputs) -> str | None:
        return None if (Path(inputs["folder"]) / inputs["path"]).is_dir() else "the folder is gone"

    def unmake(self, inputs: Inputs) -> None:
        path = Path(inputs["folder"]) / inputs["path"]
        shutil.rmtree(path, ignore_errors=True)
        if path.parent != Path(inputs["folder"]):
            with suppress(OSError):  # something else is in it
                path.parent.rmdir()


class DataFolder(Resource, module="modelyard", name="DataFolder"):
    """One folder of data.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        path: Where below it.
    """

    absolute: Output[str]

    def __init__(
        self, resource_name: str, *, folder: Input[str], path: str, opts: ResourceOptions | None = None
    ) -> None:
        inputs = {"folder": folder, "path": path, "absolute": None}
        super().__init__(DataFolderProvider(), resource_name, inputs, opts)
