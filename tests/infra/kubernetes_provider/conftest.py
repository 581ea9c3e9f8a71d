"""The tests' Kubernetes provider under the Pulumi engine, on a real API server."""

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi_kubernetes.apps.v1 import Deployment

from tests.support.api_server import ApiServer
from tests.support.providers import kubernetes
from tests.support.waiting import eventually

Program = Callable[[], None]

POD = {"containers": [{"name": "main", "image": "none", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]}
PROVIDERS = Path(kubernetes.__file__).parents[1] / "bin"


@dataclass
class Yard:
    """A Pulumi project of one stack, whose programs talk to the API server.

    Attributes:
        namespace: Of its own, made for the test.
    """

    folder: Path
    namespace: str
    client: httpx.Client
    kubeconfig: str
    said: list[str] = field(default_factory=list)
    _stack: automation.Stack | None = None

    def named(self, name: str, **more: Any) -> dict[str, Any]:
        """Metadata of an object in the test's namespace."""
        return {"name": name, "namespace": self.namespace, **more}

    def deployment(self, *, app: str = "app", replicas: int = 0, **more: Any) -> Deployment:
        """A Deployment `app`; without a node no pod of it ever runs."""
        labels = {"app": app}
        spec = {
            "replicas": replicas,
            "selector": {"match_labels": labels},
            "template": {"metadata": {"labels": labels}, "spec": POD},
        }
        return Deployment("app", metadata=self.named("app", **more), spec=spec)

    def up(self, program: Program, **options: Any) -> dict[str, int]:
        """What `pulumi up` did, by operation (without the stack itself)."""
        self.stack(program).up(on_output=self.said.append, color="never", **options)
        return self._changes_of_last_run()

    def preview(self, program: Program, **options: Any) -> dict[str, int]:
        done = self.stack(program).preview(on_output=self.said.append, color="never", **options)
        return _without_stack({getattr(key, "value", key): count for key, count in done.change_summary.items()})

    def destroy(self) -> None:
        self.stack(lambda: None).destroy(on_output=self.said.append, color="never")

    def refresh(self) -> dict[str, int]:
        self.stack(lambda: None).refresh(on_output=self.said.append, color="never")
        return self._changes_of_last_run()

    def stack(self, program: Program) -> automation.Stack:
        """The project's stack, with a program."""
        if self._stack is None:
            backend = automation.ProjectBackend(f"file://{self.folder}")
            workspace = automation.LocalWorkspace(
                work_dir=str(self.folder),
                project_settings=automation.ProjectSettings(name="yard", runtime="python", backend=backend),
                env_vars={
                    "PULUMI_CONFIG_PASSPHRASE": "test",
                    "PULUMI_HOME": str(self.folder / "home"),
                    "PULUMI_SKIP_UPDATE_CHECK": "true",
                    "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
                    "KUBECONFIG": self.kubeconfig,
                    "PATH": os.pathsep.join([str(PROVIDERS), os.environ["PATH"]]),
                },
            )
            self._stack = _Stack("test", workspace, StackInitMode.CREATE)
        self._stack.workspace.program = program
        return self._stack

    def _changes_of_last_run(self) -> dict[str, int]:
        last = max((self.folder / ".pulumi" / "history" / "yard" / "test").glob("*.history.json"))
        return _without_stack(json.loads(last.read_text())["resourceChanges"])

    def state(self) -> str:
        """The state file."""
        return (self.folder / ".pulumi" / "stacks" / "yard" / "test.json").read_text()

    def resources(self) -> dict[str, dict[str, Any]]:
        """What state has of the Kubernetes resources, by name."""
        found = json.loads(self.state())["checkpoint"]["latest"]["resources"]
        return {one["urn"].rpartition("::")[2]: one for one in found if one["type"].startswith("kubernetes:")}

    def get(self, path: str) -> dict[str, Any]:
        """An object: `configmaps/name` or `apps/v1/deployments/name` in the namespace, or a whole path."""
        found: dict[str, Any] = self.client.get(self._path(path)).raise_for_status().json()
        return found

    def exists(self, path: str) -> bool:
        return self.client.get(self._path(path)).is_success

    def create(self, kinds: str, name: str, **content: Any) -> None:
        """Make an object behind Pulumi's back; `kinds` is its path without the name."""
        path = self._path(f"{kinds}/{name}").rpartition("/")[0]
        self.client.post(path, json={"metadata": {"name": name}, **content}).raise_for_status()

    def patch(self, path: str, change: dict[str, Any], manager: str = "kubectl-edit") -> None:
        """Change an object behind Pulumi's back."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.client.patch(self._path(path), json=change, headers=headers, params={"fieldManager": manager})
        answer.raise_for_status()

    def first_pod(self) -> str:
        """The name of a pod, as soon as there is one."""
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        found = eventually(lambda: self.client.get(pods).json()["items"], what="a pod's existence")
        return str(found[0]["metadata"]["name"])

    def run_pod(self, name: str) -> None:
        """Say that a pod is ready, as a kubelet would."""
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        headers = {"Content-Type": "application/merge-patch+json"}
        self.client.patch(
            f"{self._path(f'pods/{name}')}/status", json={"status": status}, headers=headers
        ).raise_for_status()

    def _path(self, path: str) -> str:
        *version, kind, name = path.split("/")
        root = f"/apis/{'/'.join(version)}" if version else "/api/v1"
        return path if path.startswith("/") else f"{root}/namespaces/{self.namespace}/{kind}/{name}"


class _Stack(automation.Stack):
    """Doesn't ask for outputs and history after a run: that is two more starts of pulumi each time."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        return cast(automation.UpdateSummary, object())


def _without_stack(changes: dict[str, int]) -> dict[str, int]:
    """The resources that were changed, without the stack that they all belong to."""
    stack = next(operation for operation in ("same", "create") if changes.get(operation))
    return {key: count for key, count in {**changes, stack: changes[stack] - 1}.items() if count}


@pytest.fixture
def yard(api_server: ApiServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Yard]:
    with api_server.client() as client:
        answer = client.post("/api/v1/namespaces", json={"metadata": {"generateName": "test-"}}).raise_for_status()
        namespace = answer.json()["metadata"]["name"]
        with _without_complaints_about_stopped_programs():
            yield Yard(tmp_path, namespace, client, str(api_server.kubeconfig))
        client.delete(f"/api/v1/namespaces/{namespace}")


@contextmanager
def _without_complaints_about_stopped_programs() -> Iterator[None]:
    """A program whose update failed is dropped in the middle, and its coroutines complain when they are collected."""
    yield
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    gc.collect()
    sys.unraisablehook = before
