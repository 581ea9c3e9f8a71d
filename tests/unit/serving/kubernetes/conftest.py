import pytest

from modelyard.serving.kubernetes.settings import ControllerSettings


@pytest.fixture
def settings(tmp_path):
    """Of an agent; a template of pods as infra makes it, in short."""
    containers = [{"name": "server", "image": "s", "env": [], "resources": resources("100m", "256Mi")}]
    fetching = [{"name": "fetch", "image": "s", "env": [], "resources": resources("100m", "256Mi")}]
    return ControllerSettings.model_validate(
        {
            "stack": "prod",
            "namespace": "ml",
            "owner": "serving-cluster-owner",
            "labels": {"app.kubernetes.io/name": "model-server"},
            "database": {"port": 5432, "password_file": str(tmp_path / "password")},
            "gateway": {"name": "edge", "namespace": "ml", "listener": "web", "host": "models.example.com"},
            "pod": {
                "metadata": {"labels": {"app.kubernetes.io/name": "model-server"}},
                "spec": {"containers": containers, "initContainers": fetching, "nodeSelector": {"pool": "ml"}},
            },
            "ports": {"http": 8080, "grpc": 8081, "metrics": 8082},
        }
    )


def resources(cpu, memory):
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
