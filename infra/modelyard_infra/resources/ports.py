"""TCP ports on loopback that belong to one part of one platform, and stay the same as long as it exists."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.home import home
from modelyard.processes.files import write_private
from modelyard.processes.ports import any_free_port, is_free, listener
from modelyard_infra.resources.local import Inputs, LocalProvider

FILE_NAME = "ports.json"


class PortsProvider(LocalProvider):
    """Takes ports under a lock, so that platforms which are made at the same time get different ones."""

    replaced_by = ("folder", "part")
    outputs = ("numbers",)

    def identity(self, inputs: Inputs) -> str:
        return f"{inputs['folder']}#ports:{inputs['part']}"

    def make(self, inputs: Inputs) -> Inputs:
        folder, part = Path(inputs["folder"]), inputs["part"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".ports.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ours = _read(folder)
            mine = ours.get(part, {})
            reserved = _reserved(except_part=(folder, part))
            chosen: dict[str, int] = {}
            for name, wanted in inputs["wanted"].items():
                chosen[name] = _choose(
                    f"{part}.{name}",
                    int(wanted),
                    int(inputs["usual"][name]),
                    mine.get(name),
                    reserved | set(chosen.values()),
                )
            write_private(folder / FILE_NAME, json.dumps(ours | {part: chosen}, indent=1, sort_keys=True))
        return {"numbers": chosen}

    def difference(self, inputs: Inputs) -> str | None:
        return None if inputs["part"] in _read(Path(inputs["folder"])) else "its ports are not reserved"

    def unmake(self, inputs: Inputs) -> None:
        folder = Path(inputs["folder"])
        left = {part: ports for part, ports in _read(folder).items() if part != inputs["part"]}
        if left:
            write_private(folder / FILE_NAME, json.dumps(left, indent=1, sort_keys=True))
        else:
            (folder / FILE_NAME).unlink(missing_ok=True)


def _choose(what: str, wanted: int, usual: int, mine: int | None, reserved: set[int]) -> int:
    """The port that was asked for; else the one it has; else the usual one, if free; else any free one."""
    if wanted:
        if wanted != mine and not is_free(wanted):
            raise ModelyardError(
                f"{what}: port {wanted} is in use by {listener(wanted)}",
                fix="stop that process, choose another port in the stack's file, or leave it out to get a free one",
            )
        return wanted
    if mine:
        return mine
    if usual not in reserved and is_free(usual):
        return usual
    return any_free_port(reserved)


def _read(folder: Path) -> dict[str, dict[str, int]]:
    try:
        found: dict[str, dict[str, int]] = json.loads((folder / FILE_NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _reserved(*, except_part: tuple[Path, str]) -> set[int]:
    """What this part can't have: ports of other parts and of other platforms of the same home."""
    return {
        port
        for file in (home() / "platforms").glob(f"*/{FILE_NAME}")
        for part, ports in _read(file.parent).items()
        if (file.parent, part) != except_part
        for port in ports.values()
    }


class Ports(Resource, module="modelyard", name="Ports"):
    """The ports of one part.

    Args:
        resource_name: Its name in the stack.
        folder: The platform's folder.
        part: Whose ports they are.
        wanted: Name → the port that the settings ask for, or None.
        usual: Name → the port to take if it is free.
    """

    numbers: Output[dict[str, int]]

    def __init__(
        self,
        resource_name: str,
        *,
        folder: Input[str],
        part: str,
        wanted: Mapping[str, int | None],
        usual: Mapping[str, int],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "folder": folder,
            "part": part,
            "wanted": {name: port or 0 for name, port in wanted.items()},
            "usual": dict(usual),
            "numbers": None,
        }
        super().__init__(PortsProvider(), resource_name, inputs, opts)

    def number(self, name: str) -> Output[int]:
        return self.numbers.apply(lambda numbers: int(numbers[name]))
