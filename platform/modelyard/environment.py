"""How clients find a platform: its addresses, and the variables that point MLflow and others at it."""

import shlex
from pathlib import Path

from modelyard.descriptor import Descriptor


def variables(platform: Descriptor) -> dict[str, str | Path]:
    """Environment variables for clients of a platform; a path stands for the secret in that file."""
    found: dict[str, str | Path] = {"MODELYARD_STACK": platform.stack}
    if tracking := platform.tracking_server:
        found["MLFLOW_TRACKING_URI"] = tracking.url
        if tracking.username and tracking.password_file:
            found["MLFLOW_TRACKING_USERNAME"] = tracking.username
            found["MLFLOW_TRACKING_PASSWORD"] = tracking.password_file
    if serving := platform.serving_cluster:
        found["MODELYARD_SERVING_URL"] = serving.url
        if serving.api_key_files:
            found["MODELYARD_SERVING_KEY"] = next(iter(serving.api_key_files.values()))
    if monitoring := platform.monitoring:
        found["PROMETHEUS_URL"] = monitoring.prometheus_url
        found["PUSHGATEWAY_URL"] = monitoring.pushgateway_url
    return found


def export_lines(found: dict[str, str | Path]) -> str:
    """Lines for a shell; a secret is read by the shell that evaluates them, so it is in no output and no history."""
    return "\n".join(
        f'export {name}="$(cat {shlex.quote(str(value))})"'
        if isinstance(value, Path)
        else f"export {name}={shlex.quote(value)}"
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
