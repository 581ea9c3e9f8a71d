"""The local platform for real: what `make up` gives, and that a second `up` changes nothing."""

import json
import re
import stat
import time
import urllib.request

import boto3
import mlflow
import psutil
import pytest

from modelyard.processes.ports import is_free
from tests.support.local_platform import a_platform, succeeded


def test_up_ends_with_a_table_of_parts_states_and_addresses(platform):
    said = succeeded(platform.run("up", "--stack", platform.stack)).stdout
    rows = re.findall(r"^(\w+) +running +(\S+)$", said, re.MULTILINE)
    assert [part for part, _ in rows] == [
        "registry_database",
        "artifact_store",
        "tracking_server",
        "serving_cluster",
        "monitoring",
    ]


def test_a_second_up_changes_nothing(platform):
    before = platform.pids()
    said = succeeded(platform.run("up", "--stack", platform.stack)).stderr
    assert re.search(r"Resources:\n    \d+ unchanged\n", said), said
    assert platform.pids() == before


def test_status_for_programs(platform):
    report = json.loads(succeeded(platform.run("status", "--json")).stdout)
    assert report["is_up"] is True
    assert {part["kind"] for part in report["parts"]} == {"process"}


def test_plain_pulumi_works_with_the_documented_environment(platform):
    assert re.search(r"Resources:\n    \d+ unchanged", succeeded(platform.pulumi("preview")).stdout)
    assert re.search(r"Resources:\n    \d+ unchanged", succeeded(platform.pulumi("refresh", "--yes")).stdout)
    assert re.search(r"Resources:\n    \d+ unchanged", succeeded(platform.pulumi("up", "--yes")).stdout)


def test_env_points_mlflow_at_the_platform(platform):
    lines = succeeded(platform.run("env")).stdout.splitlines()
    assert f"export MLFLOW_TRACKING_URI={platform.descriptor.tracking_server.url}" in lines


@pytest.fixture(scope="module")
def logged_run(platform, tmp_path_factory):
    mlflow.set_tracking_uri(platform.descriptor.tracking_server.url)
    note = tmp_path_factory.mktemp("artifact") / "note.txt"
    note.write_text("first")
    with mlflow.start_run() as run:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("mae", 32.16)
        mlflow.log_artifact(str(note))
        note.write_text("second")
        mlflow.log_artifact(str(note))
    return run.info


def s3(platform):
    store = platform.descriptor.artifact_store
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,
        region_name=store.region,
        aws_access_key_id=store.access_key_file.read_text().strip(),
        aws_secret_access_key=store.secret_key_file.read_text().strip(),
    )


def test_a_logged_run_can_be_read_back(platform, logged_run):
    run = mlflow.MlflowClient(platform.descriptor.tracking_server.url).get_run(logged_run.run_id)
    assert run.data.params == {"depth": "3"}
    assert run.data.metrics == {"mae": 32.16}


def test_an_artifact_lies_in_the_bucket_with_its_older_versions(platform, logged_run):
    key = f"{logged_run.experiment_id}/{logged_run.run_id}/artifacts/note.txt"
    versions = s3(platform).list_object_versions(Bucket=platform.descriptor.artifact_store.bucket, Prefix=key)
    bodies = [
        s3(platform)
        .get_object(Bucket=platform.descriptor.artifact_store.bucket, Key=key, VersionId=version["VersionId"])["Body"]
        .read()
        for version in versions["Versions"]
    ]
    assert bodies == [b"second", b"first"]


def test_every_part_is_scraped(platform):
    expected = {
        *("mlflow", "envoy", "serving-agent", "postgresql", "pushgateway"),
        *("machine", "prometheus", "alertmanager", "probe"),
    }
    healthy: set[str] = set()
    for _ in range(60):
        with urllib.request.urlopen(f"{platform.descriptor.monitoring.prometheus_url}/api/v1/targets") as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        healthy = {target["labels"]["job"] for target in targets if target["health"] == "up"}
        if healthy >= expected:
            break
        time.sleep(0.5)
    assert healthy >= expected


def query(platform, expression):
    url = f"{platform.descriptor.monitoring.prometheus_url}/api/v1/query?query={expression}"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)["data"]["result"]


def test_every_rule_loads(platform):
    with urllib.request.urlopen(f"{platform.descriptor.monitoring.prometheus_url}/api/v1/rules") as answer:
        groups = json.load(answer)["data"]["groups"]
    unhealthy = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert groups
    assert unhealthy == []


def test_no_secret_is_in_the_exported_state(platform):
    exported = succeeded(platform.pulumi("stack", "export")).stdout
    assert [name for name, secret in secrets_of(platform).items() if secret in exported] == []


def test_no_secret_is_in_any_process_argument(platform):
    arguments = "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    assert [name for name, secret in secrets_of(platform).items() if secret in arguments] == []


def test_no_secret_is_in_a_log(platform):
    logs = "\n".join(path.read_text(errors="replace") for path in (platform.folder / "logs").iterdir())
    assert [name for name, secret in secrets_of(platform).items() if secret in logs] == []


def test_no_secret_is_in_a_file_that_others_may_read(platform):
    found = secrets_of(platform).values()
    leaks = [
        path
        for path in platform.home.rglob("*")
        if path.is_file()
        and stat.S_IMODE(path.stat().st_mode) & 0o077
        and any(secret.encode() in path.read_bytes() for secret in found)
    ]
    assert leaks == []


def secrets_of(platform):
    found = {path.name: path.read_text().strip() for path in (platform.folder / "secrets").iterdir()}
    assert len(found) >= 8
    return found


def test_servers_listen_on_loopback_only(platform):
    pids = set(platform.pids().values())
    listening = [
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    ]
    assert len(listening) >= 12
    assert set(listening) == {"127.0.0.1"}


def test_logs_are_shown_by_part_and_by_process(platform):
    assert "postgres" in succeeded(platform.run("logs")).stdout
    assert "database system is ready" in succeeded(platform.run("logs", "registry_database", "-n", "100")).stdout


def test_logs_of_an_unknown_part_name_the_valid_ones(platform):
    done = platform.run("logs", "databse")
    assert done.returncode == 2
    assert "registry_database" in done.stderr


def test_commands_without_a_platform_say_how_to_make_one(tmp_path, platform):
    done = platform.run("status", "--stack", "nowhere")
    assert done.returncode == 3
    assert "`make up STACK=nowhere` makes it" in done.stderr


def test_stop_pauses_and_start_goes_on_without_losing_anything(platform, logged_run):
    succeeded(platform.run("stop", "--stack", platform.stack))
    assert {process.state for process in platform.supervisor.status()} == {"stopped"}
    assert platform.run("status").returncode == 3
    succeeded(platform.run("start", "--stack", platform.stack))
    run = mlflow.MlflowClient(platform.descriptor.tracking_server.url).get_run(logged_run.run_id)
    assert run.data.params == {"depth": "3"}


def test_a_changed_setting_restarts_that_part_alone(platform):
    before = platform.pids()
    database = dict(platform.settings()["modelyard:registry_database"])
    platform.change(registry_database=database | {"shared_buffers_mib": 80})
    succeeded(platform.run("up", "--stack", platform.stack))
    after = platform.pids()
    assert [name for name in before if before[name] != after[name]] == ["postgres"]


def test_two_platforms_stand_side_by_side(platform):
    before = platform.pids()
    with a_platform(home=platform.home) as other:
        succeeded(other.run("up", "--stack", other.stack))
        assert platform.pids() == before
        ports = [spec.ports for one in (platform, other) for spec in one.supervisor.specs()]
        flat = [port for some in ports for port in some]
        assert len(flat) == len(set(flat))
        used = [port for spec in other.supervisor.specs() for port in spec.ports]
        succeeded(other.run("down", "--stack", other.stack))
        assert not other.folder.exists()
        assert [port for port in used if not is_free(port)] == []
    assert platform.pids() == before
