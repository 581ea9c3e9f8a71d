"""How clients find a platform: its addresses, and the variables that point MLflow and others at it."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modelyard.descriptor import Cluster, Descriptor, SecretKey
from modelyard.errors import ModelyardError


@dataclass(frozen=True)
class Secret:
    """A value that is nowhere but where it is kept.

    Attributes:
        command: Has a shell print it.
    """

    command: str

    def read(self) -> str:
        """The value.

        Raises:
            ModelyardError: it isn't there, or isn't for this user.
        """
        done = subprocess.run(["/bin/sh", "-c", self.command], capture_output=True, text=True)
        if not done.stdout:
            raise ModelyardError(f"`{self.command}` prints nothing: {done.stderr.strip()}", fix="may you read it?")
        return done.stdout.strip()


def variables(platform: Descriptor) -> dict[str, str | Secret]:
    """Environment variables for clients of a platform."""
    found: dict[str, str | Secret] = {"MODELYARD_STACK": platform.stack}
    if tracking := platform.tracking_server:
        found["MLFLOW_TRACKING_URI"] = tracking.url
        password = tracking.password_file or tracking.password_secret
        if tracking.username and password:
            found["MLFLOW_TRACKING_USERNAME"] = tracking.username
            found["MLFLOW_TRACKING_PASSWORD"] = _secret(platform, password)
    if serving := platform.serving_cluster:
        found["MODELYARD_SERVING_URL"] = serving.url
        keys: list[Path | SecretKey] = [*serving.api_key_files.values(), *serving.api_key_secrets.values()]
        if keys:
            found["MODELYARD_SERVING_KEY"] = _secret(platform, keys[0])
    if monitoring := platform.monitoring:
        found["PROMETHEUS_URL"] = monitoring.prometheus_url
        found["PUSHGATEWAY_URL"] = monitoring.pushgateway_url
    return found


def _secret(platform: Descriptor, place: Path | SecretKey) -> Secret:
    if isinstance(place, Path):
        return Secret(f"cat {shlex.quote(str(place))}")
    assert platform.cluster is not None
    return Secret(
        f"{_kubectl(platform.cluster)} get secret {place.name} -o jsonpath='{{.data.{place.key}}}' | base64 -d"
    )


def _kubectl(cluster: Cluster) -> str:
    """As a shell reaches the platform's namespace."""
    where = {"--kubeconfig": cluster.kubeconfig, "--context": cluster.context, "--namespace": cluster.namespace}
    return shlex.join(["kubectl", *(f"{option}={value}" for option, value in where.items() if value is not None)])


def export_lines(found: dict[str, str | Secret]) -> str:
    """Lines for a shell; a secret is read by the shell that evaluates them, so it is in no output and no history."""
    return "\n".join(
        f'export {name}="$({value.command})"' if isinstance(value, Secret) else f"export {name}={shlex.quote(value)}"
        for name, value in found.items()
    )


def addresses(platform: Descriptor) -> dict[str, str]:
    """What can be opened, by name."""
    found = {}
    if platform.tracking_server:
        found["mlflow"] = platform.tracking_server.url
    if platform.serving_cluster:
        found["predictions"] = platform.serving_cluster.url
    if platform.monitoring:
        found["prometheus"] = platform.monitoring.prometheus_url
        found["alertmanager"] = platform.monitoring.alertmanager_url
        found["pushgateway"] = platform.monitoring.pushgateway_url
    return found
