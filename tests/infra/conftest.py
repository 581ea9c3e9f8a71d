"""The whole Pulumi program on mocks: what it registers, without an engine and without making anything."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime.mocks import MockMonitor

from imaging import catalog
from modelyard_infra.settings import StackSettings
from modelyard_infra.yard import Yard
from tests.support import api_server as api_servers
from tests.support.api_server import ApiServer
from tests.support.selection import leave_out

IMAGES = tuple(catalog.IMAGES)
ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = api_servers.missing()
    leave_out(
        config, items, lambda item: "api_server" in getattr(item, "fixturenames", ()), "what an API server says", reason
    )


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    gc.freeze()  # else every collection walks through all of pulumi_kubernetes
    with ApiServer.started(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@dataclass(frozen=True)
class Registered:
    """One resource that the program registered; its URN has only the last of its parents' types."""

    type: str
    name: str
    inputs: dict[str, Any]
    urn: str

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]


class Recorder(pulumi.runtime.Mocks):
    """Remembers every resource; ports get numbers, paths get made up, as their providers would."""

    def __init__(self) -> None:
        self.resources: list[Registered] = []
        self.next = threading.local()  # `urn`

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        self.resources.append(Registered(args.typ, args.name, inputs, self.next.urn))
        made: dict[str, Any] = {}
        if "numbers" in inputs or "usual" in inputs:
            made["numbers"] = {name: 20000 + index for index, name in enumerate(inputs["usual"])}
        if args.typ.endswith("GeneratedPassword"):
            made["value"] = "generated"
        folder = inputs.get("folder", "")
        made |= {"path": inputs.get("path") or f"{folder}/secrets/{inputs.get('name')}"}
        made |= {"absolute": f"{folder}/{inputs.get('path')}", "names": ["mlflow"], "ready": inputs.get("name")}
        return args.name, inputs | {key: value for key, value in made.items() if inputs.get(key) is None}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


class Monitor(MockMonitor):
    """Also tells the recorder which URN a resource has."""

    mocks: Recorder

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        self.mocks.next.urn = super().make_urn(parent, type_, name)
        return str(self.mocks.next.urn)


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
        monitor = Monitor(recorder)
        pulumi.runtime.set_mocks(recorder, project="modelyard", stack="test", preview=False, monitor=monitor)

        @pulumi.runtime.test
        def program() -> None:
            Yard(settings).export_outputs()

        program()
        return recorder.resources

    return build


@pytest.fixture
def registered_cluster(registered: Callable[..., list[Registered]], tmp_path: Path) -> Callable[..., list[Registered]]:
    """Runs the program for the template; returns every object of the cluster that it registers, or all."""
    kubeconfig = tmp_path / "kubeconfig"
    context = {"name": "c", "context": {"cluster": "c"}}
    cluster = {"name": "c", "cluster": {"server": "https://c.example"}}
    kubeconfig.write_text(yaml.safe_dump({"kind": "Config", "contexts": [context], "clusters": [cluster]}))

    def run(digit: str = "0", *, everything: bool = False, **changes: Any) -> list[Registered]:
        references = {name: f"registry.example/{name}@sha256:{digit * 64}" for name in IMAGES}
        parts = {
            "images": {"kind": "pinned", "references": references, "pull_secrets": ["registry"]},
            "cluster": {
                "kind": "existing",
                "kubeconfig": str(kubeconfig),
                "context": "c",
                "node_selector": {"pool": "ml"},
            },
        }
        found = registered("cluster", **(parts | changes))
        return [resource for resource in found if everything or resource.type.startswith("kubernetes:")]

    return run
