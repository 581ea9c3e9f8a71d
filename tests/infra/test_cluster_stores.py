"""Facts about databases and artifact stores that a cluster's platform doesn't run itself."""

import json
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource

from tests.infra.test_cluster_yard import OTHERS_GROUPS
from tests.infra.test_settings import cluster_config, refused
from tests.support.credentials import certificate
from tests.support.waiting import eventually

AUTHORITY = {"kind": "secret", "name": "db-ca"}
ADMINISTRATOR = {"secret": "db-admin"}
DATABASE = {
    "kind": "external",
    "host": "db.example.com",
    "certificate_authority": AUTHORITY,
    "administrator": ADMINISTRATOR,
}
STORE = {"kind": "external", "bucket": "team-mlflow", "credentials": {"secret": "s3"}}
OPERATOR = {"kind": "cloudnative_pg", "without_backup": True}
BACKUP = {"destination": "s3://backups/team", "secret": "s3-backup", "endpoint_url": "https://s3.example.com:9000"}
GIVEN = {
    role: {"name": f"db_{role}", "user": f"user_{role}", "secret": f"secret-{role.replace('_', '-')}"}
    for role in ("mlflow", "mlflow_auth", "modelyard", "monitor")
}


@pytest.fixture
def made(registered_cluster):
    """Runs the program with some parts changed; returns its objects by kind and name, Jobs without their checksum."""

    def run(**changes):
        found = {}
        for resource in registered_cluster(**changes):
            name = resource.name.rpartition("-")[0] if resource.kind == "Job" else resource.name
            found[resource.kind, name] = resource.inputs
        return found

    return run


def request(objects, name):
    """What a Job is asked for."""
    return json.loads(objects["ConfigMap", name]["data"]["request.json"])


def mounted(workload, volume="secrets"):
    """Where a pod's secrets come from: by file, the Secret's name and its field."""
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    (sources,) = (one["projected"]["sources"] for one in volumes if one["name"] == volume)
    items = [(one["secret"]["name"], item) for one in sources for item in one["secret"]["items"]]
    return {item["path"]: (name, item["key"]) for name, item in items}


def way(objects, part):
    (rule,) = objects["NetworkPolicy", f"from-users-of-{part}-to-it"]["spec"]["egress"]
    return rule["to"], [port["port"] for port in rule["ports"]]


def test_roles_are_made_by_the_administrator_who_is_named(made):
    objects = made(registry_database=DATABASE)
    asked = request(objects, "registry-database-roles")
    assert (asked["host"], asked["sslmode"], asked["user"]) == ("db.example.com", "verify-full", None)
    files = mounted(objects["Job", "registry-database-roles"])
    assert files["superuser"] == ("db-admin", "password")
    assert files["user_file"] == ("db-admin", "username")
    assert files["ca.crt"] == ("db-ca", "ca.crt")


def test_databases_begin_with_the_namespaces_name(made):
    objects = made(registry_database=DATABASE)
    owners = request(objects, "registry-database-roles")["owners"]
    assert [(one["user"], one["database"]) for one in owners] == [
        ("modelyard_test_mlflow", "modelyard_test_mlflow"),
        ("modelyard_test_mlflow_auth", "modelyard_test_mlflow_auth"),
        ("modelyard_test_modelyard", "modelyard_test_modelyard"),
        ("modelyard_test_monitor", "postgres"),
    ]


def test_names_and_limits_can_be_chosen(made):
    objects = made(registry_database=DATABASE | {"prefix": "ml", "mlflow_connections": 200})
    owner = request(objects, "registry-database-roles")["owners"][0]
    assert (owner["user"], owner["connections"]) == ("ml_mlflow", 200)


def test_a_long_namespaces_name_still_fits(made, tmp_path):
    cluster = {"kind": "existing", "kubeconfig": str(tmp_path / "kubeconfig"), "context": "c", "namespace": "n" * 63}
    owners = request(made(registry_database=DATABASE, cluster=cluster), "registry-database-roles")["owners"]
    assert max(len(owner["user"]) for owner in owners) <= 63


def test_consumers_are_told_where_it_is_and_check_its_certificate(made):
    objects = made(registry_database=DATABASE)
    settings = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["database"]
    assert (settings["host"], settings["name"], settings["sslmode"]) == (
        "db.example.com",
        "modelyard_test_mlflow",
        "verify-full",
    )
    for workload in ("tracking-server", "serving-agent"):
        assert mounted(objects["Deployment", workload])["database-ca.crt"] == ("db-ca", "ca.crt")
    agent = json.loads(objects["ConfigMap", "serving-agent"]["data"]["settings.json"])["database"]
    assert (agent["user"], agent["sslmode"]) == ("modelyard_test_modelyard", "verify-full")


def test_nobody_but_the_job_sees_the_administrators_password(made):
    objects = made(registry_database=DATABASE)
    seen = {key for key, one in objects.items() if "db-admin" in json.dumps(one, default=str)}
    assert seen == {("Job", "registry-database-roles")}


def test_given_databases_are_looked_at_and_used(made):
    settings = {key: value for key, value in DATABASE.items() if key != "administrator"}
    objects = made(registry_database=settings | {"databases": GIVEN})
    logins = request(objects, "registry-database-roles")["logins"]
    assert [one["makes_tables"] for one in logins] == [True, True, True, False]
    assert mounted(objects["Job", "registry-database-roles"])["mlflow"] == ("secret-mlflow", "password")
    assert mounted(objects["Deployment", "tracking-server"])["database"] == ("secret-mlflow", "password")
    database = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["database"]
    assert (database["name"], database["user"]) == ("db_mlflow", "user_mlflow")


def test_an_authority_in_a_file_becomes_a_secret(made, tmp_path):
    chain, _ = certificate(tmp_path)
    objects = made(registry_database=DATABASE | {"certificate_authority": {"kind": "file", "path": str(chain)}})
    assert ("Secret", "registry-database-ca") in objects
    assert mounted(objects["Job", "registry-database-roles"])["ca.crt"] == ("registry-database-ca", "ca.crt")


@pytest.mark.parametrize(
    ("settings", "peers"),
    [
        ({"host": "10.1.2.3"}, [{"ipBlock": {"cidr": "10.1.2.3/32"}}]),
        (
            {"reached_at": {"kind": "networks", "cidrs": ["10.20.0.0/16"]}},
            [{"ipBlock": {"cidr": "10.20.0.0/16"}}],
        ),
        (
            {"reached_at": {"kind": "namespace", "namespace": "databases"}},
            [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}}],
        ),
    ],
)
def test_users_are_let_out_to_it_alone(made, settings, peers):
    assert way(made(registry_database=DATABASE | settings), "registry-database") == (peers, [5432])


def test_without_a_place_the_port_is_open_but_not_to_a_clouds_metadata(made):
    to, ports = way(made(registry_database=DATABASE | {"port": 6432}), "registry-database")
    assert ports == [6432]
    assert {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}} in to


def test_a_certificate_that_nothing_checks_is_refused(tmp_path):
    settings = {key: value for key, value in DATABASE.items() if key != "certificate_authority"}
    said = refused(cluster_config(registry_database=settings), tmp_path)
    assert "there is no `certificate_authority`" in said


def test_no_tls_has_to_be_asked_for(made, tmp_path):
    disabled = DATABASE | {"sslmode": "disable"}
    assert "'verify-full', 'verify-ca' or 'require'" in refused(cluster_config(registry_database=disabled), tmp_path)
    settings = {key: value for key, value in DATABASE.items() if key != "certificate_authority"}
    objects = made(registry_database=settings | {"unencrypted": True})
    assert request(objects, "registry-database-roles")["sslmode"] == "disable"


@pytest.mark.parametrize("databases", [{"databases": GIVEN}, {"administrator": None}])
def test_either_somebody_makes_databases_or_they_are_given(databases, tmp_path):
    said = refused(cluster_config(registry_database=DATABASE | databases), tmp_path)
    assert "name either `administrator`, who makes databases, or `databases` that are there" in said


def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path):
    wrong = DATABASE | {"administrator": {"user": "admin", "secret": "db", "password": "hunter2"}}
    said = refused(cluster_config(registry_database=wrong), tmp_path)
    assert "administrator.password is not a setting: secrets don't belong into this file" in said
    assert "hunter2" not in said


def test_keys_in_the_file_are_refused_and_not_repeated(tmp_path):
    wrong = STORE | {"credentials": {"access_key": "AKIA123", "secret_key": "hunter2", "secret": "s3"}}
    said = refused(cluster_config(artifact_store=wrong), tmp_path)
    assert "secrets don't belong into this file" in said
    assert "hunter2" not in said
    assert "AKIA123" not in said


def test_a_bucket_is_tried_out_and_not_made(made):
    objects = made(artifact_store=STORE)
    asked = request(objects, "artifact-store-bucket")
    assert (asked["bucket"], asked["create"], asked["check"]) == ("team-mlflow", False, True)
    assert asked["endpoint_url"] is None
    assert mounted(objects["Job", "artifact-store-bucket"])["secret-key"] == ("s3", "secret-key")


def test_a_store_elsewhere_is_what_the_tracking_server_uses(made):
    settings = {"endpoint_url": "https://minio.example.com:9000", "region": "eu-1"}
    objects = made(artifact_store=STORE | settings)
    artifacts = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["artifacts"]
    assert (artifacts["endpoint_url"], artifacts["region"], artifacts["bucket"], artifacts["direct"]) == (
        "https://minio.example.com:9000",
        "eu-1",
        "team-mlflow",
        False,
    )
    assert mounted(objects["Deployment", "tracking-server"])["access-key"] == ("s3", "access-key")
    assert way(objects, "artifact-store")[1] == [9000]


def test_awss_own_store_needs_no_address(made):
    objects = made(artifact_store=STORE)
    artifacts = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["artifacts"]
    assert artifacts["endpoint_url"] is None
    assert way(objects, "artifact-store")[1] == [443]


@pytest.mark.parametrize(
    "kinds",
    [
        {"registry_database": DATABASE, "artifact_store": STORE},
        {"registry_database": {"kind": "cloudnative_pg", "backup": BACKUP}},
    ],
)
def test_every_object_fits_the_schema_of_its_kind(registered_cluster, kinds):
    for resource in registered_cluster(**kinds):
        version, _, kind = resource.type.removeprefix("kubernetes:").rpartition(":")
        if ".cnpg.io/" in version or version.startswith(OTHERS_GROUPS):
            continue
        fields = {key: value for key, value in resource.inputs.items() if key != "stringData"}
        document = {"apiVersion": version.removeprefix("core/"), "kind": kind, **fields}
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_a_private_authority_of_the_store_reaches_all_that_talk_to_it(made):
    authority = {"kind": "secret", "name": "s3-ca"}
    serving = {"kind": "kubernetes", "payload_log": {}, "open": True}
    objects = made(artifact_store=STORE | {"certificate_authority": authority}, serving_cluster=serving)
    artifacts = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["artifacts"]
    assert artifacts["certificate_authority_file"] == "/run/secrets/modelyard/store-ca.crt"
    assert mounted(objects["Deployment", "tracking-server"])["store-ca.crt"] == ("s3-ca", "ca.crt")
    assert mounted(objects["Job", "artifact-store-bucket"])["ca.crt"] == ("s3-ca", "ca.crt")
    pod = json.loads(objects["ConfigMap", "serving-agent"]["data"]["settings.json"])["pod"]
    assert mounted({"spec": {"template": pod}})["store-ca.crt"] == ("s3-ca", "ca.crt")
    assert "/run/secrets/modelyard/store-ca.crt" in pod["spec"]["containers"][0]["args"][-1]


def test_a_store_without_tls_has_to_be_asked_for(made, tmp_path):
    settings = STORE | {"endpoint_url": "http://minio.minio.svc:9000"}
    assert "`unencrypted: true` allows it" in refused(cluster_config(artifact_store=settings), tmp_path)
    assert way(made(artifact_store=settings | {"unencrypted": True}), "artifact-store")[1] == [9000]


def test_with_the_operator_what_is_acknowledged_is_on_two_servers(made):
    spec = made(registry_database=OPERATOR)["Cluster", "registry-database"]["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}


def test_backups_go_where_the_stack_says(made):
    objects = made(registry_database={"kind": "cloudnative_pg", "backup": BACKUP})
    store = objects["ObjectStore", "registry-database"]["spec"]
    assert store["configuration"]["s3Credentials"]["secretAccessKey"] == {"name": "s3-backup", "key": "secret-key"}
    assert store["retentionPolicy"] == "30d"
    (plugin,) = objects["Cluster", "registry-database"]["spec"]["plugins"]
    assert plugin["parameters"] == {"barmanObjectName": "registry-database"}
    assert objects["ScheduledBackup", "registry-database"]["spec"]["cluster"] == {"name": "registry-database"}


def test_no_backups_have_to_be_asked_for(tmp_path):
    said = refused(cluster_config(registry_database={"kind": "cloudnative_pg"}), tmp_path)
    assert "say where copies go (`backup`)" in said


def test_the_operators_instances_reach_each_other_the_api_server_and_the_backups(made):
    objects = made(registry_database={"kind": "cloudnative_pg", "backup": BACKUP})
    spec = objects["NetworkPolicy", "of-registry-database-instances"]["spec"]
    assert spec["podSelector"] == {"matchLabels": {"cnpg.io/cluster": "registry-database"}}
    ports = [[port["port"] for port in rule["ports"]] for rule in spec["egress"]]
    assert ports == [[5432, 8000], [443, 6443], [9000]]
    (into,) = spec["ingress"]
    assert into["from"][0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}}


def test_consumers_check_the_operators_certificate(made):
    objects = made(registry_database=OPERATOR)
    database = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])["database"]
    assert (database["host"], database["sslmode"]) == ("registry-database-rw.modelyard-test.svc", "verify-full")
    files = mounted(objects["Deployment", "tracking-server"])
    assert files["database-ca.crt"] == ("registry-database-ca", "ca.crt")


@pytest.fixture(scope="module")
def operators_api(api_server):
    """A real API server that knows the operator's kinds, and a namespace on it."""
    program = shutil.which("kube-score")
    assert program
    files = sorted((Path(program).parent.parent / "crds").glob("*.yaml"))
    assert files, "the definitions are missing: `make tools`"
    definitions = [yaml.safe_load(file.read_text()) for file in files]
    all_definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    with api_server.client() as client:
        for one in definitions:
            client.post(all_definitions, json=one).raise_for_status()
        made = client.post("/api/v1/namespaces", json={"metadata": {"name": "modelyard-test"}})
        assert made.is_success or made.status_code == 409, made.text  # other tests have it, too, and nobody deletes it
        for one in definitions:
            path = f"/apis/{one['spec']['group']}/v1/{one['spec']['names']['plural']}"
            eventually(lambda path=path: client.get(path).is_success, what=f"{path} is known")
        config = KubeConfig.from_file(api_server.kubeconfig).get(context_name="modelyard-test")
        yield Client(config=config, trust_env=False)
        for one in definitions:
            client.delete(f"{all_definitions}/{one['metadata']['name']}").raise_for_status()


@pytest.mark.parametrize("settings", [{"without_backup": True}, {"backup": BACKUP | {"region_field": "region"}}])
def test_the_operators_definitions_take_its_objects(operators_api, made, settings):
    objects = made(registry_database={"kind": "cloudnative_pg", **settings})
    taken = set()
    for (kind, _), fields in objects.items():
        if fields.get("apiVersion", "").endswith(".cnpg.io/v1"):
            group, version = fields["apiVersion"].split("/")
            resource = create_namespaced_resource(group, version, kind, f"{kind.lower()}s")
            document = {
                key: value for key, value in fields.items() if key in ("apiVersion", "kind", "metadata", "spec")
            }
            operators_api.apply(resource(document), field_manager="test", dry_run=True)
            taken.add(kind)
    assert taken == ({"Cluster"} if "without_backup" in settings else {"Cluster", "ObjectStore", "ScheduledBackup"})


def test_the_operators_definitions_refuse_what_they_do_not_know(operators_api):
    resource = create_namespaced_resource("postgresql.cnpg.io", "v1", "Cluster", "clusters")
    metadata = {"name": "wrong", "namespace": "modelyard-test"}
    with pytest.raises(ApiError, match="instances"):
        operators_api.apply(resource(metadata=metadata, spec={"instances": 0}), field_manager="test", dry_run=True)
