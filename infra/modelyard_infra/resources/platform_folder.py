"""The folder of a local platform: made first, removed last, with everything that is still in or of it."""

import shutil
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.home import ensure_passable
from modelyard.processes.sweep import sweep
from modelyard_infra.resources.local import Inputs, LocalProvider

MIB = 1024 * 1024


class PlatformFolderProvider(LocalProvider):
    """Makes the folder where there is room for it; removing it stops what still runs there."""

    def identity(self, inputs: Inputs) -> str:
        return str(inputs["folder"])

    def make(self, inputs: Inputs) -> Inputs:
        folder = Path(inputs["folder"])
        try:
            for place in (folder.parent.parent, folder.parent, folder):
                ensure_passable(place)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            raise ModelyardError(
                f"the platform's folder {folder} can't be written: {error.strerror}",
                fix="set MODELYARD_HOME to a folder of yours on a local disk",
            ) from None
        free = shutil.disk_usage(folder).free // MIB
        if free < inputs["minimum_free_mib"]:
            raise ModelyardError(
                f"the disk of {folder} is nearly full: {free} MiB are free, and the setting minimum_free_mib asks for "
                f"{inputs['minimum_free_mib']:.0f}",
                fix="make room, set MODELYARD_HOME to another disk, or lower modelyard:minimum_free_mib",
            )
        return {}

    def difference(self, inputs: Inputs) -> str | None:
        return None if Path(inputs["folder"]).is_dir() else "the folder is gone"

    def unmake(self, inputs: Inputs) -> None:
        sweep(Path(inputs["folder"]))


class PlatformFolder(Resource, module="modelyard", name="PlatformFolder"):
    """The folder of a local platform.

    Args:
        resource_name: Its name in the stack.
        folder: Its path.
        minimum_free_mib: What must be free on its disk, in MiB, before anything is made there.
    """

    folder: Output[str]

    def __init__(
        self, resource_name: str, *, folder: Input[str], minimum_free_mib: int, opts: ResourceOptions | None = None
    ) -> None:
        inputs = {"folder": folder, "minimum_free_mib": minimum_free_mib}
        super().__init__(PlatformFolderProvider(), resource_name, inputs, opts)
