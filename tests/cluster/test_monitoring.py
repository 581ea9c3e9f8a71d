"""Monitoring on a real node: what it sees, what it tells, what survives, and who reaches it."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from modelyard.monitoring import cluster_rule_files, scope
from modelyard.monitoring.panels import PAGES
from tests.support.cluster_platform import ClusterPlatform
from tests.support.cluster_pods import CLOSED, ONCE_OPEN, met, replace, run_pod
from tests.support.clusters import Cluster
from tests.support.node import prometheus_operator as operator
from tests.support.node import receiver
from tests.support.waiting import eventually

EAT_MEMORY = "blocks = [bytearray(10_000_000) for _ in range(100)]"
DEPLOYED = {"mlflow": "tracking-server", "serving-agent": "serving-agent"}  # jobs of several replicas
JOBS = {
    *("mlflow", "serving-agent", "prometheus", "alertmanager", "pushgateway", "postgresql", "pods", "probe"),
}


@contextmanager
def api_of(platform: ClusterPlatform, service: str, *, namespace: str | None = None) -> Iterator[httpx.Client]:
    """The API of the Prometheus behind a Service."""
    with (
        platform.forwarded(service, 9090, namespace=namespace) as address,
        httpx.Client(base_url=f"http://{address}/api/v1/", timeout=30) as api,
    ):
        yield api


@pytest.fixture
def prometheus(platform: ClusterPlatform) -> Iterator[httpx.Client]:
    """Prometheus' API; what was done to the cluster before is over."""
    platform.settle()
    with api_of(platform, "prometheus") as api:
        yield api


def _document(kind: str, namespace: str, name: str, spec: object, **metadata: object) -> dict[str, Any]:
    version = "batch/v1" if kind == "Job" else "v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


def targets(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("targets?state=active").json()["data"]["activeTargets"]
    return found


def scraped(api: httpx.Client) -> dict[str, int]:
    """How many targets there are of each of `DEPLOYED`."""
    jobs = [one["labels"]["job"] for one in targets(api)]
    return {job: jobs.count(job) for job in DEPLOYED}


def asked(api: httpx.Client, query: str, **more: str) -> list[dict[str, Any]]:
    answer = api.get("query", params={"query": query, **more})
    assert answer.status_code == 200, f"{query}: {answer.text}"
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def alerts(api: httpx.Client, *states: str) -> set[str]:
    found = api.get("alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found if alert["state"] in (states or ("firing", "pending"))}


def health_of_rules(api: httpx.Client) -> set[str]:
    """`unknown` as long as one wasn't looked at."""
    groups = api.get("rules").json()["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


def everything_is_up(api: httpx.Client, jobs: set[str]) -> bool:
    found = targets(api)
    down = [(one["labels"]["job"], one["lastError"]) for one in found if one["health"] != "up"]
    return not down and {one["labels"]["job"] for one in found} >= jobs


def a_bare_pod(image: str, code: str, **container: object) -> dict[str, Any]:
    """A restricted pod's specification that runs a Python program."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    command = ["/opt/modelyard/bin/python", "-c", code]
    return {
        "containers": [
            {"name": "test", "image": image, "command": command, "securityContext": restricted, **container},
        ],
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }


def test_every_replica_of_every_part_is_scraped(platform: ClusterPlatform, prometheus: httpx.Client) -> None:
    replicas = {job: platform.replicas(name) for job, name in DEPLOYED.items()}
    eventually(
        lambda: everything_is_up(prometheus, JOBS) and scraped(prometheus) == replicas,
        seconds=60,
        what=f"as many targets as replicas, {replicas},",
    )


def test_a_healthy_platform_raises_no_alert(platform: ClusterPlatform, prometheus: httpx.Client) -> None:
    eventually(lambda: alerts(prometheus) == {"Watchdog"}, seconds=300, what="no alert but the one that always fires")
    eventually(lambda: health_of_rules(prometheus) == {"ok"}, seconds=120, what="every rule was looked at")


def test_every_query_of_the_dashboards_is_about_metrics_that_there_are(
    platform: ClusterPlatform, prometheus: httpx.Client
) -> None:
    told = set(prometheus.get("label/__name__/values").json()["data"])
    recorded = set(re.findall(r"record: (\S+)", "\n".join(path.read_text() for path in cluster_rule_files())))
    expressions = [
        query.expression for page in PAGES.values() for row in page.rows for one in row.panels for query in one.queries
    ]
    for expression in expressions:
        asked(prometheus, expression)
    narrowed = " ".join(scope.narrowed(expression, {"marked": "x"}) for expression in expressions)
    named = set(re.findall(r"([A-Za-z_:][\w:]*)\{[^}]*marked=", narrowed))
    of_models = {name for name in named if name.startswith("modelyard_")}  # nothing is deployed here
    assert named - told - recorded - of_models == set()


def test_dashboards_are_there_for_grafana(platform: ClusterPlatform) -> None:
    found = json.loads(platform.kubectl("get", "configmaps", "-l", "grafana_dashboard=1", "-o", "json"))["items"]
    assert {one["metadata"]["name"] for one in found} == {f"dashboard-{name}" for name in PAGES}
    for one in found:
        (text,) = one["data"].values()
        assert json.loads(text)["title"].startswith(f"Modelyard {platform.stack}: ")


def test_what_happens_to_pods_and_jobs_is_seen(
    platform: ClusterPlatform, prometheus: httpx.Client, references: dict[str, str]
) -> None:
    job = {"backoffLimit": 0, "template": {"spec": a_bare_pod(references["agent"], "1/0") | {"restartPolicy": "Never"}}}
    hungry = a_bare_pod(references["agent"], EAT_MEMORY, resources={"limits": {"memory": "64Mi"}})
    namespace = platform.namespace
    documents = [_document("Job", namespace, "failing", job), _document("Pod", namespace, "hungry", hungry)]
    platform.node.kubectl("apply", "-f", "-", document=documents)
    try:
        eventually(lambda: "JobFailed" in alerts(prometheus), seconds=60)
        eventually(lambda: "PodOutOfMemory" in alerts(prometheus, "firing"), seconds=90)
        eventually(lambda: "PodRestartLoop" in alerts(prometheus, "firing"), seconds=240)
    finally:
        platform.kubectl("delete", "job/failing", "pod/hungry", "--wait=false")


def test_an_alert_with_a_real_cause_reaches_people(platform: ClusterPlatform, prometheus: httpx.Client) -> None:
    platform.kubectl("scale", "statefulset/artifact-store", "--replicas=0")
    try:
        posted, *_ = eventually(
            lambda: firing(platform.node, "ArtifactStoreDown"), seconds=240, what="the alert at its receiver"
        )
    finally:
        platform.kubectl("scale", "statefulset/artifact-store", "--replicas=1")
    assert posted["commonLabels"]["platform"] == platform.stack
    assert posted["commonLabels"]["severity"] == "critical"
    platform.settle()
    eventually(lambda: "ArtifactStoreDown" not in alerts(prometheus), seconds=60)


def firing(node: Cluster, alert: str) -> list[dict[str, Any]]:
    """What was posted about an alert that fires."""
    found = [json.loads(one) for one in receiver.posted(node)]
    return [one for one in found if one["groupLabels"]["alertname"] == alert and one["status"] == "firing"]


def test_what_prometheus_has_seen_survives_its_death(platform: ClusterPlatform, prometheus: httpx.Client) -> None:
    answering = 'up{job="mlflow"} == 1'
    eventually(lambda: asked(prometheus, answering), seconds=30, what="a replica of MLflow that was scraped")
    at = f"{time.time():.3f}"
    before = {one["metric"]["instance"] for one in asked(prometheus, answering, time=at)}
    replace(platform, "prometheus-0", "--grace-period=0", "--force")
    with api_of(platform, "prometheus") as api:
        kept = eventually(
            lambda: asked(api, answering, time=at),
            seconds=60,
            what="what it had seen",
            but=(AssertionError, httpx.TransportError),  # it answers 503 as long as it reads
        )
        assert {one["metric"]["instance"] for one in kept} == before
        eventually(lambda: everything_is_up(api, JOBS), seconds=60)


def test_what_a_job_pushes_is_seen_and_kept(
    platform: ClusterPlatform, prometheus: httpx.Client, references: dict[str, str]
) -> None:
    push = ONCE_OPEN.format(host="pushgateway", port=9091) + (
        "import urllib.request\n"
        "url = 'http://pushgateway:9091/metrics/job/nightly'\n"
        "urllib.request.urlopen(urllib.request.Request(url, data=b'rows_trained 42\\n', method='PUT'))\n"
    )
    run_pod(platform, references, push, uses="pushgateway")
    pushed = 'rows_trained{job="nightly"}'
    eventually(lambda: asked(prometheus, f"{pushed} == 42"), seconds=30, what="what was pushed")
    replace(platform, "pushgateway-0")  # it writes it down before it ends
    since = time.time()
    eventually(
        lambda: asked(prometheus, f"{pushed} == 42 and timestamp({pushed}) > {since:.3f}"),
        seconds=60,
        what="what was pushed, told by the next one",
    )


def test_only_pods_that_may_reach_it(platform: ClusterPlatform, references: dict[str, str]) -> None:
    places = [("prometheus", 9090), ("alertmanager", 9093), ("pushgateway", 9091), ("postgres-exporter", 9187)]
    assert set(met(platform, references, places)) <= CLOSED
    found = met(platform, references, places, uses="monitoring", once_open=places[0])
    assert found[0] == "open"
    assert set(found[1:]) <= CLOSED


class TestByAnOperator:
    """The same platform, watched by the cluster's Prometheus operator."""

    @pytest.fixture(scope="class")
    def handed_over(
        self, node: Cluster, platform: ClusterPlatform, references: dict[str, str]
    ) -> Iterator[tuple[ClusterPlatform, str]]:
        """The platform, and what `up` said to a cluster without the operator."""
        settings = {
            "kind": "external",
            "labels": operator.LABELS,
            "prometheus_namespace": operator.NAMESPACE,
            "scrape_seconds": 3,
        }
        platform.configure(references, monitoring=settings)
        refused = platform.run("up")
        operator.install(node, references["prometheus"])
        platform.up()
        yield platform, refused.stdout + refused.stderr
        node.kubectl("-n", operator.NAMESPACE, "delete", "prometheus/test", "--wait=false")
        platform.configure(references)
        platform.up()

    @pytest.fixture
    def api(self, node: Cluster, handed_over: tuple[ClusterPlatform, str]) -> Iterator[httpx.Client]:
        """The operator's Prometheus."""
        platform, _ = handed_over
        eventually(
            lambda: "prometheus-test-0" in node.kubectl("-n", operator.NAMESPACE, "get", "pods", "-o", "name"),
            seconds=60,
        )
        node.kubectl(
            "-n", operator.NAMESPACE, "wait", "pod/prometheus-test-0", "--for=condition=Ready", "--timeout=90s"
        )
        with api_of(platform, "prometheus-operated", namespace=operator.NAMESPACE) as client:
            yield client

    def test_without_it_nothing_is_made(self, handed_over: tuple[ClusterPlatform, str]) -> None:
        assert "install the Prometheus operator" in handed_over[1]

    def test_its_prometheus_scrapes_every_part(
        self, api: httpx.Client, handed_over: tuple[ClusterPlatform, str]
    ) -> None:
        eventually(
            lambda: everything_is_up(api, {"mlflow", "serving-agent", "pushgateway", "postgresql", "probe"}), seconds=90
        )
        platform, _ = handed_over
        replicas = platform.replicas("tracking-server")
        eventually(lambda: scraped(api)["mlflow"] == replicas, seconds=30, what=f"{replicas} targets of MLflow")

    def test_its_prometheus_has_our_rules_about_this_platform(
        self, api: httpx.Client, handed_over: tuple[ClusterPlatform, str]
    ) -> None:
        platform, _ = handed_over
        eventually(lambda: alerts(api) == {"Watchdog"}, seconds=300, what="no alert but the one that always fires")
        eventually(lambda: health_of_rules(api) == {"ok"}, seconds=120, what="every rule was looked at")
        groups = api.get("rules").json()["data"]["groups"]
        assert len(groups) >= len(cluster_rule_files())
        known = api.get("alerts").json()["data"]["alerts"]
        watchdog = next(one for one in known if one["labels"]["alertname"] == "Watchdog")
        assert watchdog["labels"]["namespace"] == platform.namespace
        ratio = f'job:up:ratio{{job="mlflow", namespace="{platform.namespace}"}} == 1'
        eventually(lambda: asked(api, ratio), seconds=30, what=ratio)
        narrowed = [
            scope.narrowed(e, {"namespace": platform.namespace}) for e in ("max(pg_up)", 'sum(up{job="mlflow"})')
        ]
        eventually(
            lambda: (
                [found["value"][1] for one in narrowed for found in asked(api, one)]
                == ["1", str(platform.replicas("tracking-server"))]
            ),
            seconds=30,
            what="one database, and as many servers as there are",
        )

    def test_its_own_prometheus_is_gone(self, handed_over: tuple[ClusterPlatform, str]) -> None:
        platform, _ = handed_over
        sets = platform.kubectl("get", "statefulsets", "-o", "name").split()
        assert "statefulset.apps/prometheus" not in sets
        assert "statefulset.apps/pushgateway" in sets
        assert platform.changes() == {}
