"""What the `process` kinds share: the folder of the local platform, and short ways to put things into it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pulumi import Resource, ResourceOptions

from modelyard.home import platform_folder
from modelyard_infra.resources.platform_folder import PlatformFolder


class LocalPlatform:
    """The local platform of one stack; its folder becomes a resource when the first part asks for it.

    Args:
        stack: The stack's name.
        parent: The component that the folder belongs to.
        protect: Whether it may only be destroyed after it was unprotected.
        minimum_free_mib: What must be free on its disk.
        after: What must have been agreed to before anything is made.
    """

    def __init__(
        self, stack: str, *, parent: Resource, protect: bool, minimum_free_mib: int, after: Sequence[Resource]
    ) -> None:
        self.path: Path = platform_folder(stack)
        self._parent = parent
        self._protect = protect
        self._minimum_free_mib = minimum_free_mib
        self._after = list(after)

    @cached_property
    def resource(self) -> PlatformFolder:
        opts = ResourceOptions(parent=self._parent, protect=self._protect, depends_on=self._after)
        return PlatformFolder("platform", folder=str(self.path), minimum_free_mib=self._minimum_free_mib, opts=opts)

    @property
    def is_used(self) -> bool:
        """Whether a part has asked for the folder."""
        return "resource" in self.__dict__
