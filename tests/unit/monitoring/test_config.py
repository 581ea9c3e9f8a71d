"""What Prometheus, Alertmanager and the prober are told: as documents, and as the programs themselves read them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from modelyard.monitoring import rule_files
from modelyard_infra.parts.monitoring import _config

RECEIVERS: dict[str, dict[str, str]] = {
    "none": {"kind": "none"},
    "webhook": {"kind": "webhook", "url": "http://127.0.0.1:9999/alerts"},
    "slack": {"kind": "slack", "api_url_file": "/run/secrets/slack", "channel": "#ml-alerts"},
    "email": {
        "kind": "email",
        "to": "ml@example.org",
        "sender": "yard@example.org",
        "smarthost": "mail.example.org:587",
    },
    "email with a login": {
        **{"kind": "email", "to": "ml@example.org", "sender": "yard@example.org", "smarthost": "mail.example.org:587"},
        **{"username": "yard", "password_file": "/run/secrets/mail"},
    },
}
Receive = Callable[[str], Any]
Configure = Callable[..., dict[str, Any]]
MLFLOW = {"job": "mlflow", "address": "127.0.0.1:5000", "path": "/metrics"}


@pytest.fixture
def receiver() -> Receive:
    """A receiver from one of the settings above."""
    adapter: TypeAdapter[Any] = TypeAdapter(_config.Receiver)
    return lambda name: adapter.validate_python(RECEIVERS[name])


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Prometheus' configuration of a small platform; keywords change what it is told."""

    def make(**changed: object) -> dict[str, Any]:
        known: dict[str, Any] = {
            "stack": "pr-42",
            "scrape_seconds": 15,
            "targets": [MLFLOW],
            "target_files": {},
            "probes": {},
            "prober": "127.0.0.1:9115",
            "alertmanager": "127.0.0.1:9093",
            "rules": str(tmp_path / "rules" / "*.yaml"),
        }
        return _config.prometheus(**(known | changed))

    return make


def test_prometheus_accepts_its_configuration(promtool: str, configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    document = configure(
        targets=[MLFLOW | {"username": "admin", "password_file": str(tmp_path / "password")}],
        target_files={"model-server": str(tmp_path / "targets.json")},
        probes={"artifact-store": "http://127.0.0.1:7070/health"},
        rules=str(rule_files()[0].with_name("*.yaml")),
    )
    (tmp_path / "prometheus.yml").write_text(json.dumps(document))
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rule_files())} rule files" in done.stdout


@pytest.mark.parametrize("name", RECEIVERS)
def test_alertmanager_accepts_its_configuration(amtool: str, receiver: Receive, tmp_path: Path, name: str) -> None:
    (tmp_path / "alertmanager.yml").write_text(json.dumps(_config.alertmanager(receiver(name))))
    command = [amtool, "check-config", str(tmp_path / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_receiver_is_tried() -> None:
    kinds = TypeAdapter(_config.Receiver).json_schema()["discriminator"]["mapping"]
    assert set(kinds) == {settings["kind"] for settings in RECEIVERS.values()}


def test_the_prober_accepts_its_configuration(blackbox_exporter: str, tmp_path: Path) -> None:
    (tmp_path / "probe.yml").write_text(json.dumps(_config.prober()))
    command = [blackbox_exporter, f"--config.file={tmp_path / 'probe.yml'}", "--config.check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_is_labelled_with_its_platform(configure: Configure) -> None:
    assert configure()["global"]["external_labels"] == {"platform": "pr-42"}


@pytest.mark.parametrize(("seconds", "timeout"), [(1, "1s"), (15, "10s"), (300, "10s")])
def test_a_scrape_never_takes_longer_than_the_pause_between_two(
    configure: Configure, seconds: int, timeout: str
) -> None:
    times = configure(scrape_seconds=seconds)["global"]
    assert (times["scrape_interval"], times["scrape_timeout"]) == (f"{seconds}s", timeout)


def test_a_target_has_its_job_address_and_path(configure: Configure) -> None:
    target = {"job": "envoy", "address": "127.0.0.1:9901", "path": "/stats/prometheus"}
    assert configure(targets=[target])["scrape_configs"] == [
        {
            "job_name": "envoy",
            "metrics_path": "/stats/prometheus",
            "static_configs": [{"targets": ["127.0.0.1:9901"]}],
        }
    ]


def test_a_password_is_read_from_its_file(configure: Configure) -> None:
    login = {"username": "admin", "password_file": "/secrets/admin"}
    assert configure(targets=[MLFLOW | login])["scrape_configs"][0]["basic_auth"] == login


def test_what_is_pushed_keeps_its_own_labels(configure: Configure) -> None:
    target = {"job": "pushgateway", "address": "127.0.0.1:9091", "path": "/metrics"}
    assert configure(targets=[MLFLOW, target])["scrape_configs"][1]["honor_labels"] is True


def test_targets_that_come_and_go_are_read_from_a_file(configure: Configure) -> None:
    jobs = configure(targets=[], target_files={"model-server": "/yard/targets.json"})["scrape_configs"]
    assert jobs == [{"job_name": "model-server", "file_sd_configs": [{"files": ["/yard/targets.json"]}]}]


def test_without_probes_there_is_no_probe_job(configure: Configure) -> None:
    assert [job["job_name"] for job in configure()["scrape_configs"]] == ["mlflow"]


def test_a_probe_is_named_after_its_part_and_goes_through_the_prober(configure: Configure) -> None:
    job = configure(targets=[], probes={"artifact-store": "http://s3/health"})["scrape_configs"][0]
    assert job["static_configs"] == [{"targets": ["http://s3/health"], "labels": {"part": "artifact-store"}}]
    assert job["relabel_configs"][-1] == {"target_label": "__address__", "replacement": "127.0.0.1:9115"}


def test_without_a_receiver_alerts_are_only_shown(receiver: Receive) -> None:
    assert _config.alertmanager(receiver("none"))["receivers"] == [{"name": "people"}]


def test_a_login_to_the_mail_server_is_left_out_where_there_is_none(receiver: Receive) -> None:
    plain, with_login = (receiver(name).document()["email_configs"][0] for name in ("email", "email with a login"))
    assert set(with_login) - set(plain) == {"auth_username", "auth_password_file"}


def test_a_warning_is_silent_while_the_same_part_has_a_critical_alert(receiver: Receive) -> None:
    rule = _config.alertmanager(receiver("none"))["inhibit_rules"][0]
    assert rule["source_matchers"] == ['severity = "critical"']
    assert rule["target_matchers"] == ['severity = "warning"']
    assert rule["equal"] == ["platform", "part"]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "pager"},
        {"kind": "webhook"},
        {"kind": "webhook", "url": "ftp://127.0.0.1/"},
        {"kind": "slack", "api_url_file": "secrets/slack", "channel": "#ml"},
        {"kind": "slack", "api_url_file": "/secrets/slack", "chanel": "#ml"},
        {"kind": "email", "to": "a@b", "sender": "c@d", "smarthost": "mail.example.org"},
    ],
    ids=str,
)
def test_a_receiver_that_can_not_work_is_refused(settings: dict[str, str]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(_config.Receiver)
    with pytest.raises(ValidationError):
        adapter.validate_python(settings)
