"""What monitoring in a cluster registers, by both of its kinds."""

import json

import kubernetes_validate
import pytest
import yaml

from modelyard.errors import ModelyardError
from modelyard.monitoring import cluster_rule_files
from modelyard.monitoring.panels import PAGES
from modelyard_infra.parts import load

SERVERS = ("alertmanager", "pod-metrics", "postgres-exporter", "prober", "prometheus", "pushgateway")
CPU_MILLIS, MEMORY_MIB = 300, 700
OPERATORS = "kubernetes:monitoring.coreos.com/"


@pytest.fixture
def inside(registered_cluster):
    """Builds a platform with its own Prometheus; its objects by name and kind."""

    def build(**settings):
        found = registered_cluster(monitoring={"kind": "kubernetes", **settings})
        return {(resource.kind, resource.name): resource.inputs for resource in found}

    return build


@pytest.fixture
def outside(registered_cluster):
    """Builds a platform that the cluster's Prometheus operator watches."""

    def build(**settings):
        found = registered_cluster(monitoring={"kind": "external", "labels": {"release": "prom"}, **settings})
        return {(resource.kind, resource.name): resource.inputs for resource in found}

    return build


def pod(objects, name):
    """The template of a server's pod."""
    workload = objects.get(("StatefulSet", name)) or objects[("Deployment", name)]
    return workload["spec"]["template"]


def configuration(objects):
    return json.loads(objects[("ConfigMap", "prometheus")]["data"]["prometheus.yml"])


def jobs(objects):
    return {job["job_name"]: job for job in configuration(objects)["scrape_configs"]}


def used(objects, name):
    """The parts whose pods a server may reach."""
    labels = pod(objects, name)["metadata"]["labels"]
    return {key.removeprefix("modelyard.dev/uses-") for key in labels if "/uses-" in key}


def mib(amount):
    return int(amount.removesuffix("Mi"))


def test_every_server_is_there(inside):
    objects = inside()
    assert all(pod(objects, name) for name in SERVERS)


def test_what_people_or_jobs_told_is_on_a_volume(inside):
    objects = inside()
    assert {name for kind, name in objects if kind == "StatefulSet"} >= {"prometheus", "alertmanager", "pushgateway"}


def test_every_object_fits_the_schema_of_its_kind(inside):
    for (kind, _), inputs in inside().items():
        if kind in ("StatefulSet", "Deployment", "Service", "ConfigMap", "NetworkPolicy", "Role", "RoleBinding"):
            group = {"StatefulSet": "apps/v1", "Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1"}
            version = group.get(kind, "rbac.authorization.k8s.io/v1" if kind.startswith("Role") else "v1")
            document = {"apiVersion": version, "kind": kind, **inputs}
            kubernetes_validate.validate(document, "1.34", strict=True)


def test_it_asks_for_little(inside):
    objects = inside()
    requests = [pod(objects, name)["spec"]["containers"][0]["resources"]["requests"] for name in SERVERS]
    assert sum(int(one["cpu"].removesuffix("m")) for one in requests) <= CPU_MILLIS
    assert sum(mib(one["memory"]) for one in requests) <= MEMORY_MIB


def test_every_replica_is_scraped_not_the_service_in_front_of_them(inside):
    found = jobs(inside())
    for job, name in (("mlflow", "tracking-server"), ("serving-agent", "serving-agent")):
        (names,) = (one["names"] for one in found[job]["dns_sd_configs"])
        assert names == [f"_metrics._tcp.{name}-pods.modelyard-test.svc.cluster.local"]


def test_model_servers_are_found_by_asking_the_agent(inside):
    (found,) = jobs(inside())["model-server"]["http_sd_configs"]
    assert found["url"] == "http://serving-agent.modelyard-test.svc.cluster.local:9902/targets"


def test_the_tracking_server_lets_itself_be_asked_by_each_replicas_name(inside):
    settings = json.loads(inside()[("ConfigMap", "tracking-server")]["data"]["settings.json"])
    assert "*.tracking-server-pods.modelyard-test.svc.cluster.local:5000" in settings["allowed_hosts"]


def test_metrics_are_read_with_the_rights_to_read_and_the_password_is_a_file(inside):
    objects = inside()
    login = jobs(objects)["mlflow"]["basic_auth"]
    assert login == {"username": "modelyard-reader", "password_file": "/run/secrets/modelyard/mlflow"}
    (volume,) = (one for one in pod(objects, "prometheus")["spec"]["volumes"] if one["name"] == "secrets")
    (source,) = volume["projected"]["sources"]
    assert source["secret"]["name"] == "tracking-server-reader"


def test_prometheus_reaches_what_it_scrapes_and_nothing_else(inside):
    parts = {"tracking-server", "serving-cluster"}
    assert used(inside(), "prometheus") == parts | set(SERVERS) - {"prometheus"}


def test_exporters_reach_the_one_part_that_they_ask(inside):
    objects = inside()
    assert used(objects, "postgres-exporter") == {"registry-database"}
    assert used(objects, "prober") == {"artifact-store"}
    assert used(objects, "alertmanager") == used(objects, "pushgateway") == set()


def test_the_exporter_sees_the_password_of_its_own_role_alone(inside):
    (container,) = pod(objects := inside(), "postgres-exporter")["spec"]["containers"]
    assert {variable["name"] for variable in container["env"]} == {
        *("DATA_SOURCE_URI", "DATA_SOURCE_USER", "DATA_SOURCE_PASS_FILE")
    }
    (volume,) = (one for one in pod(objects, "postgres-exporter")["spec"]["volumes"] if one["name"] == "secrets")
    assert [one["secret"]["name"] for one in volume["projected"]["sources"]] == ["registry-database-monitor"]


def test_only_what_lists_pods_has_a_token_and_it_may_only_list(inside):
    objects = inside()
    tokens = [name for name in SERVERS if pod(objects, name)["spec"]["automountServiceAccountToken"]]
    assert tokens == ["pod-metrics"]
    rules = objects[("Role", "pod-metrics")]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    assert {resource for rule in rules for resource in rule["resources"]} == {
        *("pods", "persistentvolumeclaims", "deployments", "statefulsets", "jobs")
    }


def test_without_pod_metrics_there_are_neither_its_pod_nor_its_rules(inside):
    objects = inside(pod_metrics=False)
    assert ("Deployment", "pod-metrics") not in objects
    rules = {name for name in objects[("ConfigMap", "prometheus")]["data"] if name.endswith(".rules.yaml")}
    assert rules == {f"{path.stem}.rules.yaml" for path in cluster_rule_files(pods=False)}


def test_the_rules_of_machines_stay_away(inside):
    assert "machine.rules.yaml" not in inside()[("ConfigMap", "prometheus")]["data"]


def test_a_platform_without_a_database_has_no_exporter_for_it(registered_cluster):
    found = registered_cluster(
        monitoring={"kind": "kubernetes"},
        **dict.fromkeys(("edge", "registry_database", "tracking_server", "serving_cluster")),
    )
    assert "postgres-exporter" not in {resource.name for resource in found}


def test_without_a_receiver_alertmanager_reaches_nobody(inside):
    assert ("NetworkPolicy", "from-alertmanager-to-outside") not in inside()


@pytest.mark.parametrize(
    ("receiver", "port"),
    [
        ({"kind": "webhook", "url": "http://hooks.example:8099/x"}, 8099),
        ({"kind": "webhook", "url": "https://hooks.example/x"}, 443),
        ({"kind": "email", "to": "a@b", "sender": "c@d", "smarthost": "mail.example:587"}, 587),
    ],
    ids=["port", "https", "mail"],
)
def test_alertmanager_reaches_its_receivers_port_and_no_metadata(inside, receiver, port):
    (egress,) = inside(receiver=receiver)[("NetworkPolicy", "from-alertmanager-to-outside")]["spec"]["egress"]
    assert egress["ports"] == [{"protocol": "TCP", "port": port}]
    assert {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}} in egress["to"]


def test_a_receivers_secret_comes_from_a_file_and_goes_into_a_secret(inside, tmp_path):
    (tmp_path / "slack").write_text("https://hooks.slack.example/T0/B0/token\n")
    objects = inside(receiver={"kind": "slack", "channel": "#ml", "api_url_file": str(tmp_path / "slack")})
    text = objects[("ConfigMap", "alertmanager")]["data"]["alertmanager.yml"]
    assert json.loads(text)["receivers"][0]["slack_configs"][0]["api_url_file"] == "/run/secrets/modelyard/receiver"
    assert "token" not in text
    assert ("Secret", "alertmanager-receiver") in objects


def test_a_receivers_secret_may_be_there_already(inside):
    objects = inside(
        receiver={"kind": "slack", "channel": "#ml", "api_url_secret": {"name": "slack", "key": "url"}},
    )
    (volume,) = (one for one in pod(objects, "alertmanager")["spec"]["volumes"] if one["name"] == "secrets")
    assert [one["secret"]["name"] for one in volume["projected"]["sources"]] == ["slack"]
    assert ("Secret", "alertmanager-receiver") not in objects


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"storage": "5Gi"}, "a fifth larger"),
        ({"receiver": {"kind": "slack", "channel": "#ml"}}, "api_url_secret"),
        ({"receiver": {"kind": "slack", "channel": "#ml", "api_url_file": "/does/not/exist"}}, "can't be read"),
        (
            {
                "receiver": {
                    **{"kind": "email", "to": "a@b", "sender": "c@d", "smarthost": "m:25", "username": "u"},
                }
            },
            "password_secret",
        ),
    ],
    ids=["volume", "no secret", "no file", "no password"],
)
def test_settings_that_can_not_work_are_refused(inside, settings, says):
    with pytest.raises(ModelyardError, match=says):
        inside(**settings)


@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_dashboards_are_config_maps_that_grafana_finds(request, kind):
    objects = request.getfixturevalue(kind)()
    for name in PAGES:
        found = objects[("ConfigMap", f"dashboard-{name}")]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "Modelyard"}
        assert found["data"].keys() == {f"modelyard-test-{name}.json"}


def test_another_label_and_folder_or_no_dashboards(inside):
    found = inside(dashboards={"label": "team/dash", "value": "yes", "folder": "ML"})
    metadata = found[("ConfigMap", "dashboard-platform")]["metadata"]
    assert metadata["labels"]["team/dash"] == "yes"
    assert metadata["annotations"] == {"grafana_folder": "ML"}
    assert not [name for kind, name in inside(dashboards=None) if name.startswith("dashboard-")]


def test_the_operators_prometheus_selects_everything_by_its_label(outside):
    kinds = ("PodMonitor", "ScrapeConfig", "Probe", "PrometheusRule")
    found = {key: inputs for key, inputs in outside().items() if key[0] in kinds}
    assert {kind for kind, _ in found} == set(kinds)
    assert all(inputs["metadata"]["labels"]["release"] == "prom" for inputs in found.values())


def test_the_operators_prometheus_is_let_in_where_it_scrapes_and_nowhere_else(outside):
    objects = outside(prometheus_namespace="observability")
    ways = {name: inputs["spec"] for (kind, name), inputs in objects.items() if name.startswith("from-observability")}
    assert {name.removeprefix("from-observability-to-") for name in ways} == {
        *("tracking-server", "serving-agent", "model-server", "pushgateway", "prober", "postgres-exporter")
    }
    for spec in ways.values():
        (rule,) = spec["ingress"]
        (peer,) = rule["from"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "observability"}
        assert len(rule["ports"]) == 1


def test_rules_are_about_this_platform_alone(outside):
    rules = [
        rule
        for (kind, _), inputs in outside().items()
        if kind == "PrometheusRule"
        for group in inputs["spec"]["groups"]
        for rule in group["rules"]
    ]
    (down,) = (rule for rule in rules if rule.get("alert") == "RegistryDatabaseDown")
    assert down["expr"] == 'pg_up{namespace="modelyard-test"} == 0'
    assert all(rule["labels"]["namespace"] == "modelyard-test" for rule in rules)
    assert all(rule["labels"]["platform"] == "test" for rule in rules)


def test_an_operators_platform_runs_no_prometheus_of_its_own(outside):
    servers = {name for kind, name in outside() if kind in ("StatefulSet", "Deployment")}
    assert servers & set(SERVERS) == {"pushgateway", "prober", "postgres-exporter"}


def test_the_operators_apis_are_asked_for_before_anything_is_made():
    kind = load("monitoring", "external")
    assert set(kind.apis(kind.settings())) == {"monitoring.coreos.com/v1", "monitoring.coreos.com/v1alpha1"}
    assert "Prometheus operator" in kind.apis(kind.settings())["monitoring.coreos.com/v1"]


def test_rule_files_reach_prometheus_whole(inside):
    data = inside()[("ConfigMap", "prometheus")]["data"]
    for path in cluster_rule_files():
        assert yaml.safe_load(data[f"{path.stem}.rules.yaml"]) == yaml.safe_load(path.read_text())
