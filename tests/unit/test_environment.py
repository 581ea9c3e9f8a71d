from pathlib import Path

from modelyard import environment
from modelyard.descriptor import Descriptor, TrackingServer


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
