"""What is on each dashboard, as data: titles, units and queries. `dashboards.py` makes Grafana's documents of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes:
        expression: PromQL.
        legend: Name of each of its series, with `{{label}}` filled in.
    """

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        unit: As Grafana calls it: `s`, `reqps`, `percentunit`, `bytes`, `short`.
        is_number: Shows the last value alone; else values over time.
        about: What it means, for those who ask.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    is_number: bool = False
    about: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Page:
    """One dashboard."""

    title: str
    rows: tuple[Row, ...]


def _number(title: str, expression: str, unit: str = "short", about: str = "") -> Panel:
    return Panel(title, (Query(expression),), unit, is_number=True, about=about)


def _lines(title: str, *queries: tuple[str, str], unit: str = "short", about: str = "") -> Panel:
    return Panel(title, tuple(Query(*query) for query in queries), unit, about=about)


OVERVIEW = Page(
    "Platform",
    (
        Row(
            "Now",
            (
                _number("Alerts firing", 'count(ALERTS{alertstate="firing", alertname!="Watchdog"}) or vector(0)'),
                _number("Targets down", "count(up == 0) or vector(0)"),
                _number(
                    "Tracking server",
                    'max(up{job="mlflow"})',
                    about="1: at least one replica answers Prometheus.",
                ),
                _number("Registry database", "max(pg_up)", about="1: the exporter can log in."),
                _number("Artifact store", 'max(probe_success{part="artifact-store"})', about="1: it answers with 200."),
                _number("Models deployed", "count(count by (model) (modelyard_replicas_desired)) or vector(0)"),
            ),
        ),
        Row(
            "Pods",
            (
                _lines("Pods missing", ("workload:pods_wanted:max - workload:pods_ready:max", "{{workload}}")),
                _lines(
                    "Restarts within 15 minutes", ("pod:container_restarts:increase15m > 0", "{{pod}} {{container}}")
                ),
                _lines("Volumes used", ("claim:volume_used:ratio", "{{persistentvolumeclaim}}"), unit="percentunit"),
                _lines("Targets that answer", ("job:up:ratio", "{{job}}"), unit="percentunit"),
            ),
        ),
    ),
)

SERVING = Page(
    "Serving",
    (
        Row(
            "Models",
            (
                _lines("Requests", ("model_version:requests:rate5m", "{{model}} v{{version}}"), unit="reqps"),
                _lines(
                    "Requests that failed",
                    ("model_version:errors:ratio_rate5m", "{{model}} v{{version}}"),
                    unit="percentunit",
                    about="Answers with 5xx, of all answers.",
                ),
                _lines(
                    "Response time",
                    ("model_version:request_seconds:p50_rate5m", "{{model}} v{{version}} median"),
                    ("model_version:request_seconds:p95_rate5m", "{{model}} v{{version}} p95"),
                    ("model_version:request_seconds:p99_rate5m", "{{model}} v{{version}} p99"),
                    unit="s",
                ),
                _lines(
                    "Errors by kind",
                    ("model_version_kind:model_errors:ratio_rate5m", "{{model}} v{{version}} {{kind}}"),
                    unit="percentunit",
                ),
            ),
        ),
        Row(
            "Replicas and traffic",
            (
                _lines(
                    "Replicas",
                    (
                        "sum by (model, version, pool) (modelyard_replicas_ready)",
                        "{{model}} v{{version}} {{pool}} ready",
                    ),
                    (
                        "sum by (model, version, pool) (modelyard_replicas_desired)",
                        "{{model}} v{{version}} {{pool}} wanted",
                    ),
                ),
                _lines(
                    "Share of the traffic",
                    ("sum by (model, version, pool) (modelyard_traffic_percent)", "{{model}} v{{version}} {{pool}}"),
                    unit="percent",
                ),
                _lines(
                    "Requests that wait",
                    ("sum by (model, version) (modelyard_model_waiting_requests)", "{{model}} v{{version}}"),
                ),
                _lines(
                    "Rows in a batch",
                    (
                        "sum by (model, version) (rate(modelyard_model_batch_rows_sum[5m])) / "
                        "(sum by (model, version) (rate(modelyard_model_batch_rows_count[5m])) > 0)",
                        "{{model}} v{{version}}",
                    ),
                ),
            ),
        ),
        Row(
            "Agent and payload log",
            (
                _lines(
                    "Seconds since the agent's last step",
                    ("time() - max(modelyard_last_reconcile_timestamp_seconds)", "seconds"),
                    unit="s",
                ),
                _lines(
                    "Age of the oldest record not yet stored",
                    ("max(modelyard_payload_oldest_unwritten_seconds)", "age"),
                    unit="s",
                ),
            ),
        ),
    ),
)

TRACKING = Page(
    "Tracking server",
    (
        Row(
            "Requests",
            (
                _lines("Requests", ("job_method:mlflow_http_requests:rate5m", "{{method}}"), unit="reqps"),
                _lines("Requests that failed", ("job:mlflow_http_errors:ratio_rate5m", "5xx"), unit="percentunit"),
                _lines(
                    "Response time",
                    ("job_method:mlflow_http_request_seconds:p50_rate5m", "{{method}} median"),
                    ("job_method:mlflow_http_request_seconds:p95_rate5m", "{{method}} p95"),
                    ("job_method:mlflow_http_request_seconds:p99_rate5m", "{{method}} p99"),
                    unit="s",
                ),
                _lines("Replicas that answer", ('sum(up{job="mlflow"})', "replicas")),
            ),
        ),
    ),
)

DATABASE = Page(
    "Registry database",
    (
        Row(
            "Connections",
            (
                _number("Answers", "max(pg_up)"),
                _lines(
                    "Connections of those a role may have",
                    ("role:pg_connections:ratio", "{{rolname}}"),
                    unit="percentunit",
                ),
                _lines("Connections of all", ("instance:pg_connections:ratio", "all roles"), unit="percentunit"),
            ),
        ),
        Row(
            "Work",
            (
                _lines("Transactions", ("datname:pg_transactions:rate5m", "{{datname}}"), unit="ops"),
                _lines("Size", ("sum by (datname) (pg_database_size_bytes)", "{{datname}}"), unit="bytes"),
                _lines(
                    "Read from memory",
                    (
                        "sum(rate(pg_stat_database_blks_hit[5m])) / "
                        "(sum(rate(pg_stat_database_blks_hit[5m])) + sum(rate(pg_stat_database_blks_read[5m])) > 0)",
                        "share",
                    ),
                    unit="percentunit",
                ),
                _lines("Deadlocks", ("sum by (datname) (increase(pg_stat_database_deadlocks[5m]))", "{{datname}}")),
            ),
        ),
    ),
)

STORE = Page(
    "Artifact store",
    (
        Row(
            "Health",
            (
                _number("Answers", 'max(probe_success{part="artifact-store"})'),
                _number(
                    "Available within the last hour",
                    "max(instance:artifact_store_available:ratio_avg1h)",
                    "percentunit",
                ),
                _lines("Time of a probe", ("instance:artifact_store_probe_seconds:avg5m", "{{instance}}"), unit="s"),
                _lines("Answers of a probe", ('probe_http_status_code{part="artifact-store"}', "status")),
            ),
        ),
    ),
)

PAGES = {
    "platform": OVERVIEW,
    "serving": SERVING,
    "tracking-server": TRACKING,
    "registry-database": DATABASE,
    "artifact-store": STORE,
}
