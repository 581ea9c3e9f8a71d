from pathlib import Path

import pytest

from modelyard import environment
from modelyard.descriptor import Cluster, Descriptor, SecretKey, ServingCluster, TrackingServer
from modelyard.errors import ModelyardError


def platform(**tracking):
    server = TrackingServer(kind="process", url="http://127.0.0.1:5000", **tracking)
    return Descriptor(stack="local", protect=True, folder=Path("/srv/local"), tracking_server=server)


def test_mlflow_is_pointed_at_the_tracking_server():
    lines = environment.export_lines(environment.variables(platform()))
    assert "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000" in lines


def test_a_password_is_read_by_the_shell_and_never_printed(tmp_path):
    secret = tmp_path / "admin password"
    secret.write_text("hunter2")
    lines = environment.export_lines(environment.variables(platform(username="admin", password_file=secret)))
    assert f"export MLFLOW_TRACKING_PASSWORD=\"$(cat '{secret}')\"" in lines
    assert "hunter2" not in lines


def test_parts_that_are_not_there_have_no_address():
    assert environment.addresses(platform()) == {"mlflow": "http://127.0.0.1:5000"}


def test_a_secret_of_a_cluster_is_asked_for_by_the_shell():
    url = "https://models.example.com"
    key = SecretKey(name="serving-cluster-api-keys", key="team-a")
    serving = ServingCluster(kind="kubernetes", url=url, admin_url=url, agent_url=url, api_key_secrets={"team-a": key})
    cluster = Cluster(kubeconfig=Path("/home/ada/my clusters"), context="prod", namespace="modelyard-team")
    team = Descriptor(stack="team", protect=True, folder=Path("/srv"), cluster=cluster, serving_cluster=serving)
    lines = environment.export_lines(environment.variables(team))
    assert (
        "export MODELYARD_SERVING_KEY=\"$(kubectl '--kubeconfig=/home/ada/my clusters' --context=prod "
        "--namespace=modelyard-team get secret serving-cluster-api-keys -o jsonpath='{.data.team-a}' | base64 -d)\""
    ) in lines


def test_a_secret_that_is_not_to_be_had_is_said_to_be_so(tmp_path):
    with pytest.raises(ModelyardError, match=r"prints nothing: cat: .*No such file"):
        environment.Secret(f"cat {tmp_path}/absent").read()


def test_a_secret_is_read(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    assert environment.Secret(f"cat {tmp_path}/password").read() == "hunter2"
