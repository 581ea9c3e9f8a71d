"""A platform in a Kubernetes cluster, made by `pulumi up` on this checkout."""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from modelyard_infra.resources.cluster_check import STACK
from tests.support.clusters import Cluster
from tests.support.node import ROOT, connects, gateway, receiver
from tests.support.node.certificates import Authority
from tests.support.node.identity import Provider
from tests.support.waiting import eventually

DOMAIN = "ml.test"
TRACKING_HOST, SERVING_HOST = f"mlflow.{DOMAIN}", f"models.{DOMAIN}"
MODELYARD = Path(sys.executable).parent / "modelyard"
PROVIDERS = ROOT / "tests" / "support" / "providers" / "bin"
CLUSTER_WIDE = (  # what a stack might make besides what is in its namespace
    *("namespaces", "persistentvolumes", "storageclasses", "priorityclasses", "ingressclasses", "gatewayclasses"),
    *("clusterroles", "clusterrolebindings", "customresourcedefinitions", "apiservices"),
    *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
    *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
)


class ClusterPlatform:
    """One stack of the template `cluster`.

    Args:
        node: The cluster.
        stack: The stack's name.
        home: Keeps the state.
        provider: Where people sign in.
    """

    def __init__(self, node: Cluster, stack: str, home: Path, provider: Provider) -> None:
        self.node, self._provider = node, provider
        self.stack = stack
        self.namespace = f"modelyard-{stack}"
        self._home = home
        tls = home / "tls"
        tls.mkdir()
        authority = Authority(tls, "authority")
        self.authority = authority.certificate
        self._certificate = authority.issue("edge", common_name="edge", hosts=[TRACKING_HOST, SERVING_HOST])

    @property
    def stack_file(self) -> Path:
        return ROOT / "stacks" / f"Pulumi.{self.stack}.yaml"

    @property
    def state(self) -> str:
        """The state, as text."""
        return (self._home / "pulumi" / ".pulumi" / "stacks" / "modelyard" / f"{self.stack}.json").read_text()

    def configure(self, references: Mapping[str, str], **changes: Mapping[str, object] | None) -> None:
        """Write the stack's file: the template, with these images and changes; None leaves a part out.

        A part's changes are added to its settings, or are all of them where they name another kind.
        """
        config = yaml.safe_load((ROOT / "stacks" / "templates" / "cluster.yaml").read_text())["config"]
        salt = yaml.safe_load(self.stack_file.read_text()) if self.stack_file.exists() else {}
        config["modelyard:protect"] = False
        config["modelyard:images"]["references"] = dict(references)
        config["modelyard:cluster"] = {
            "kind": "existing",
            "kubeconfig": str(self.node.kubeconfig),
            "context": self.node.context,
        }
        config["modelyard:edge"] = {
            "kind": "gateway_api",
            "domain": DOMAIN,
            "gateway_class": gateway.CLASS,
            "router_namespace": gateway.NAMESPACE,
            "tls": {
                "kind": "files",
                "certificate_file": str(self._certificate),
                "private_key_file": str(self._certificate.with_suffix(".key")),
            },
            "oidc": self._provider.edge,
        }
        config["modelyard:tracking_server"]["jwt"] = self._provider.jwt
        config["modelyard:monitoring"] |= {"scrape_seconds": 3, "receiver": {"kind": "webhook", "url": receiver.URL}}
        for part, settings in changes.items():
            if settings is None:
                del config[f"modelyard:{part}"]
            else:
                known = config.get(f"modelyard:{part}", {})
                same_kind = settings.get("kind", known.get("kind")) == known.get("kind")
                config[f"modelyard:{part}"] = {**(known if same_kind else {}), **settings}
        self.stack_file.write_text(yaml.safe_dump(salt | {"config": config}))

    @property
    def environment(self) -> dict[str, str]:
        """What a person's shell has, and the test provider where the real one isn't on PATH."""
        own = [] if shutil.which("pulumi-resource-kubernetes") else [str(PROVIDERS)]
        path = os.pathsep.join([*own, os.environ["PATH"]])
        return os.environ | {"MODELYARD_HOME": str(self._home), "PATH": path}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `modelyard` on the stack; its exit code is the test's to look at."""
        command = [str(MODELYARD), *arguments, "--stack", self.stack]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900)

    def pulumi(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run plain `pulumi` on the stack, as after `eval "$(modelyard pulumi-env)"`."""
        script = f'eval "$({MODELYARD} pulumi-env)"; exec pulumi "$@" --stack {self.stack} --non-interactive'
        command = ["/bin/sh", "-c", script, "pulumi", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900)

    def up(self) -> str:
        """Bring the cluster to what the stack's file says; returns what was said."""
        return said(self.run("up"))

    def changes(self) -> dict[str, int]:
        """What a preview would change: by operation, how many resources; `same` left out."""
        document = json.loads(said(self.pulumi("preview", "--json")))
        return {key: count for key, count in document["changeSummary"].items() if key != "same"}

    def kubectl(self, *arguments: str) -> str:
        """kubectl in the platform's namespace."""
        return self.node.kubectl("-n", self.namespace, *arguments)

    def replicas(self, deployment: str) -> int:
        """How many there are to be of a Deployment's pods; an autoscaler may have changed that."""
        return int(self.kubectl("get", "deployment", deployment, "-o", "jsonpath={.spec.replicas}"))

    def secret(self, name: str, key: str) -> str:
        """One value of a Secret."""
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data[key]).decode()

    def settle(self, *, seconds: float = 120) -> None:
        """Wait until every workload has just the pods it asks for, all ready and none on its way out; routers, too.

        Raises:
            AssertionError: something was still on its way after so long; says what.
        """
        deadline = time.monotonic() + seconds
        while unsettled := [*self._unsettled(self.namespace), *self._unsettled(gateway.NAMESPACE)]:
            assert time.monotonic() < deadline, f"after {seconds:g} s not settled yet: {'; '.join(unsettled)}"
            time.sleep(0.2)

    def _unsettled(self, namespace: str) -> list[str]:
        kinds = "deployments,statefulsets,pods"
        items = json.loads(self.node.kubectl("-n", namespace, "get", kinds, "-o", "json"))["items"]
        listed = [one for one in items if one["kind"] != "Pod" or "ownerReferences" in one["metadata"]]  # not a test's
        found = [reason for one in listed if (reason := _unsettled(one))]
        pods = [one for one in listed if one["kind"] == "Pod" and one["status"].get("phase") == "Running"]
        wanted = sum(one["spec"]["replicas"] for one in listed if one["kind"] in ("Deployment", "StatefulSet"))
        return found or ([f"{len(pods)} pods instead of {wanted} in {namespace}"] if len(pods) != wanted else [])

    def traces(self) -> list[str]:
        """What is the platform's outside of namespaces: its own namespace, volumes, and what else has its label."""
        labelled = [
            self.node.kubectl("get", ",".join(CLUSTER_WIDE), "-l", f"{label}={self.stack}", "-o", "name").split()
            for label in (STACK, "app.kubernetes.io/instance")
        ]
        volumes = json.loads(self.node.kubectl("get", "persistentvolumes", "-o", "json"))["items"]
        claimed = [
            f"persistentvolume/{one['metadata']['name']}"
            for one in volumes
            if one["spec"].get("claimRef", {}).get("namespace") == self.namespace
        ]
        return [*labelled[0], *labelled[1], *claimed]

    @property
    def address(self) -> str:
        """Of the Gateway, as this machine reaches it."""
        return gateway.address(self.node, self.namespace, "edge")

    @contextmanager
    def forwarded(self, service: str, port: int, *, namespace: str | None = None) -> Iterator[str]:
        """A Service's address on this machine, as `kubectl port-forward` gives it: `host:port`.

        Args:
            namespace: Where it is; left out, the platform's.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            local = free.getsockname()[1]
        command = ["kubectl", f"--kubeconfig={self.node.kubeconfig}", "-n", namespace or self.namespace, "port-forward"]
        process = subprocess.Popen([*command, f"service/{service}", f"{local}:{port}"], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: connects("127.0.0.1", local), what=f"the port-forward to {service}")
            yield f"127.0.0.1:{local}"
        finally:
            process.terminate()
            process.wait()


def _unsettled(found: dict[str, Any]) -> str | None:
    """Why a Deployment, StatefulSet or pod is still on its way; None: it isn't, or is one that has ended."""
    name, status = f"{found['kind']} {found['metadata']['name']}", found["status"]
    if "deletionTimestamp" in found["metadata"]:
        return f"{name} is on its way out"
    if found["kind"] == "Pod":
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        is_over = status.get("phase") in ("Succeeded", "Failed")
        return None if is_over or conditions.get("Ready") == "True" else f"{name} is not ready"
    wanted = found["spec"]["replicas"]
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return f"{name} has not been looked at"
    counts = {key: status.get(key, 0) for key in ("replicas", "readyReplicas", "updatedReplicas")}
    return None if set(counts.values()) == {wanted} else f"{name} has {counts} of {wanted}"


@contextmanager
def a_cluster_platform(node: Cluster, references: Mapping[str, str], provider: Provider) -> Iterator[ClusterPlatform]:
    """A stack that isn't up yet; whatever a test made of it is destroyed at the end, and nothing of it stays.

    A namespace that a test has made for it stays: it is not the stack's.
    """
    home = Path(tempfile.mkdtemp(prefix="my-", dir="/tmp"))
    home.chmod(0o711)
    platform = ClusterPlatform(node, f"c{secrets.token_hex(3)}", home, provider)
    try:
        platform.configure(references)
        yield platform
    finally:
        done = platform.run("down", "--yes")
        platform.stack_file.unlink(missing_ok=True)
        with suppress(OSError):
            shutil.rmtree(home)
        assert done.returncode == 0, f"`down` failed after the test:\n{done.stdout}\n{done.stderr}"
        _leaves_nothing(platform)


def _leaves_nothing(platform: ClusterPlatform, *, seconds: float = 90) -> None:
    """Volumes may take a moment: each is emptied by a pod of its provisioner."""
    deadline = time.monotonic() + seconds
    while traces := platform.traces():
        assert time.monotonic() < deadline, f"{seconds:g} s after `down` there still is {', '.join(traces)}"
        time.sleep(0.2)


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command printed, if it succeeded; else an error with all that it said."""
    assert done.returncode == 0, f"{done.args[:3]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
