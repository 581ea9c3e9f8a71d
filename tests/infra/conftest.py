"""The whole Pulumi program on mocks: what it registers, without an engine and without making anything."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from modelyard_infra.settings import StackSettings
from modelyard_infra.yard import Yard

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Registered:
    """One resource that the program registered."""

    type: str
    name: str
    inputs: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]


class Recorder(pulumi.runtime.Mocks):
    """Remembers every resource; ports get numbers, paths get made up, as their providers would."""

    def __init__(self) -> None:
        self.resources: list[Registered] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        self.resources.append(Registered(args.typ, args.name, inputs))
        made: dict[str, Any] = {}
        if "numbers" in inputs or "usual" in inputs:
            made["numbers"] = {name: 20000 + index for index, name in enumerate(inputs["usual"])}
        folder = inputs.get("folder", "")
        made |= {"path": inputs.get("path") or f"{folder}/secrets/{inputs.get('name')}"}
        made |= {"absolute": f"{folder}/{inputs.get('path')}", "names": ["mlflow"], "ready": inputs.get("name")}
        return args.name, inputs | {key: value for key, value in made.items() if inputs.get(key) is None}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Registered]]:
    """Build a template's platform with some settings changed, and say what was registered."""

    def build(template: str = "local", **changes: Any) -> list[Registered]:
        monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
        config = yaml.safe_load((ROOT / "stacks" / "templates" / f"{template}.yaml").read_text())["config"]
        for part, value in changes.items():
            config.pop(f"modelyard:{part}") if value is None else config.update({f"modelyard:{part}": value})
        recorder = Recorder()
        settings = StackSettings.read("test", config, tmp_path / "Pulumi.test.yaml")
        asyncio.set_event_loop(asyncio.new_event_loop())
        pulumi.runtime.set_mocks(recorder, project="modelyard", stack="test", preview=False)

        @pulumi.runtime.test
        def program() -> None:
            Yard(settings).export_outputs()

        program()
        return recorder.resources

    return build
