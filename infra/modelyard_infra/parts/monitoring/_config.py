"""What Prometheus, Alertmanager and the prober are told, as documents. Pure: values in, documents out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Document: TypeAlias = dict[str, Any]
REFRESH = "15s"
SPEAK_OF_OTHERS = frozenset({"pushgateway", "pods"})


class _Receiver(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoReceiver(_Receiver):
    """Alerts are only shown in Alertmanager."""

    kind: Literal["none"] = "none"

    def document(self) -> Document:
        return {}


class WebhookReceiver(_Receiver):
    """Alerts are posted as JSON.

    Attributes:
        url: Where to.
    """

    kind: Literal["webhook"]
    url: Annotated[str, Field(pattern=r"^https?://")]

    def document(self) -> Document:
        return {"webhook_configs": [{"url": self.url, "send_resolved": True}]}


class SlackReceiver(_Receiver):
    """Alerts go to a Slack channel.

    Attributes:
        api_url_file: A file with the incoming webhook's address, which is a secret.
        channel: With its `#`.
    """

    kind: Literal["slack"]
    api_url_file: Annotated[str, Field(pattern=r"^/")]
    channel: str

    def document(self) -> Document:
        return {"slack_configs": [{"api_url_file": self.api_url_file, "channel": self.channel, "send_resolved": True}]}


class EmailReceiver(_Receiver):
    """Alerts are mailed.

    Attributes:
        to: Address of who gets them.
        sender: Address they come from.
        smarthost: `host:port` of the mail server; TLS is required.
        username: For it, if it asks.
        password_file: A file with the password.
    """

    kind: Literal["email"]
    to: str
    sender: str
    smarthost: Annotated[str, Field(pattern=r"^[^:]+:\d+$")]
    username: str | None = None
    password_file: Annotated[str, Field(pattern=r"^/")] | None = None

    def document(self) -> Document:
        login = {"auth_username": self.username, "auth_password_file": self.password_file} if self.username else {}
        mail = {"to": self.to, "from": self.sender, "smarthost": self.smarthost, "send_resolved": True}
        return {"email_configs": [mail | login]}


AnyReceiver: TypeAlias = NoReceiver | WebhookReceiver | SlackReceiver | EmailReceiver
Receiver = Annotated[AnyReceiver, Field(discriminator="kind")]


def prometheus(
    *,
    stack: str,
    scrape_seconds: int,
    targets: Sequence[Mapping[str, str]],
    target_files: Mapping[str, str],
    probes: Mapping[str, str],
    prober: str,
    alertmanager: str,
    rules: str,
    target_urls: Mapping[str, str] | None = None,
) -> Document:
    """Prometheus' configuration.

    Args:
        stack: Becomes the `platform` label of everything.
        scrape_seconds: Between two scrapes of one target.
        targets: Mappings of `job`, `path`, `address` or `each` (a name that has an SRV record for every replica) and,
            where a login is needed, `username` and `password_file`.
        target_files: Job → file with more targets, which changes while Prometheus runs.
        probes: Name → address that must answer 200.
        prober: `host:port` of the blackbox exporter.
        alertmanager: `host:port`.
        rules: Glob of the rule files.
        target_urls: Job → address that names more targets.
    """
    jobs = [_job(target) for target in targets]
    jobs += [{"job_name": job, "file_sd_configs": [{"files": [file]}]} for job, file in sorted(target_files.items())]
    jobs += [
        {"job_name": job, "http_sd_configs": [{"url": url, "refresh_interval": REFRESH}]}
        for job, url in sorted((target_urls or {}).items())
    ]
    return {
        "global": {
            "scrape_interval": f"{scrape_seconds}s",
            "scrape_timeout": f"{min(10, scrape_seconds)}s",
            "evaluation_interval": f"{scrape_seconds}s",
            "external_labels": {"platform": stack},
        },
        "rule_files": [rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [*jobs, *([_probe_job(probes, prober)] if probes else [])],
    }


def _job(target: Mapping[str, str]) -> Document:
    job: Document = {
        "job_name": target["job"],
        "metrics_path": target["path"],
    }
    if "each" in target:
        job["dns_sd_configs"] = [{"names": [target["each"]], "type": "SRV", "refresh_interval": REFRESH}]
    else:
        job["static_configs"] = [{"targets": [target["address"]]}]
    if target["job"] in SPEAK_OF_OTHERS:
        job["honor_labels"] = True  # what they tell says itself where it comes from
    if "username" in target:
        job["basic_auth"] = {"username": target["username"], "password_file": target["password_file"]}
    return job


def _probe_job(probes: Mapping[str, str], prober: str) -> Document:
    return {
        "job_name": "probe",
        "metrics_path": "/probe",
        "params": {"module": ["healthy"]},
        "static_configs": [{"targets": [url], "labels": {"part": name}} for name, url in sorted(probes.items())],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": prober},
        ],
    }


def prober() -> Document:
    """The blackbox exporter's configuration: healthy means a 200 over IPv4 loopback."""
    http = {"valid_status_codes": [200], "preferred_ip_protocol": "ip4", "follow_redirects": False}
    return {"modules": {"healthy": {"prober": "http", "timeout": "5s", "http": http}}}


def alertmanager(receiver: AnyReceiver) -> Document:
    """Alertmanager's configuration: one route; a warning is silent while the same part has a critical alert."""
    return {
        "route": {
            "receiver": "people",
            "group_by": ["alertname", "platform"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "people"} | receiver.document()],
        "inhibit_rules": [
            {
                "source_matchers": ['severity = "critical"'],
                "target_matchers": ['severity = "warning"'],
                "equal": ["platform", "part"],
            }
        ],
    }
