"""TCP ports on loopback that belong to one part of one platform, and stay the same as long as it exists."""

import fcntl
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from modelyard.errors import ModelyardError
from modelyard.home import home
from modelyard.processes import Supervisor
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
        with _locked(folder):
            mine = _read(folder).get(part) or _remembered(folder, inputs.get("numbers") or {})
            wanted = {name: int(port) for name, port in inputs["wanted"].items()}
            owners = _owners(except_part=(folder, part))
            chosen = {name: _pinned(f"{part}.{name}", port, mine, owners) for name, port in wanted.items() if port}
            for name in wanted.keys() - chosen.keys():
                taken = owners.keys() | chosen.values()
                chosen[name] = _any(int(inputs["usual"][name]), int(mine.get(name, 0)), taken)
            _write(folder, _read(folder) | {part: {name: chosen[name] for name in wanted}})
        return {"numbers": chosen}

    def difference(self, inputs: Inputs) -> str | None:
        found = _read(Path(inputs["folder"])).get(inputs["part"])
        return None if found == inputs.get("numbers") else "its ports are not reserved"

    def unmake(self, inputs: Inputs) -> None:
        folder = Path(inputs["folder"])
        if folder.is_dir():
            with _locked(folder):
                _write(folder, {part: ports for part, ports in _read(folder).items() if part != inputs["part"]})


def _remembered(folder: Path, numbers: Mapping[str, float]) -> dict[str, int]:
    """The ports that the state remembers, as far as this platform's processes have them or nobody does."""
    own = {port for spec in Supervisor(folder).specs() for port in spec.ports}
    return {name: int(port) for name, port in numbers.items() if int(port) in own or is_free(int(port))}


def _pinned(what: str, wanted: int, mine: Mapping[str, int], owners: Mapping[int, str]) -> int:
    """The port that the settings ask for, if nobody else has it."""
    taken_by = owners.get(wanted)
    if taken_by is None and wanted not in mine.values() and not is_free(wanted):
        taken_by = str(listener(wanted))
    if taken_by:
        raise ModelyardError(
            f"{what}: port {wanted} is in use by {taken_by}",
            fix="stop that, choose another port in the stack's file, or leave the setting out to get a free one",
        )
    return wanted


def _any(usual: int, mine: int, taken: Collection[int]) -> int:
    """The port it has; else the usual one, if free; else any free one."""
    if mine and mine not in taken:
        return mine
    if usual not in taken and is_free(usual):
        return usual
    return any_free_port(taken)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(folder: Path) -> dict[str, dict[str, int]]:
    try:
        found: dict[str, dict[str, int]] = json.loads((folder / FILE_NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _write(folder: Path, ports: Mapping[str, Mapping[str, int]]) -> None:
    write_private(folder / FILE_NAME, json.dumps(ports, indent=1, sort_keys=True))


def _owners(*, except_part: tuple[Path, str]) -> dict[int, str]:
    """What this part can't have, and whose it is: ports of other parts and of other platforms of the same home."""
    return {
        port: f"{part}.{name} of platform {file.parent.name!r}"
        for file in (home() / "platforms").glob(f"*/{FILE_NAME}")
        for part, ports in _read(file.parent).items()
        if (file.parent, part) != except_part
        for name, port in ports.items()
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
