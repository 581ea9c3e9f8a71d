"""Facts about every resource that a local platform consists of."""

import json
import re
from itertools import pairwise
from types import SimpleNamespace

import pytest

from modelyard_infra.parts import ORDER
from tests.support.credentials import certificate


@pytest.fixture
def resources(registered):
    return registered()


@pytest.fixture
def processes(resources):
    return [resource for resource in resources if resource.kind == "Process" and "dynamic" in resource.type]


def test_each_part_is_a_component_of_its_own_type(resources):
    types = {resource.type for resource in resources}
    assert {f"modelyard:{part}:Process" for part in ORDER if part not in ("images", "cluster", "edge")} <= types


def test_names_of_resources_start_with_their_part(resources):
    parts = [r for r in resources if "dynamic" in r.type and r.name not in ("platform", "descriptor")]
    assert [r.name for r in parts if not r.name.startswith(ORDER)] == []


def test_every_process_listens_on_loopback_only(processes):
    agent = next(process for process in processes if process.inputs["name"] == "serving-agent")
    for process in processes:
        found = hosts(process)
        # The agent's settings name no address: its own tests see where it listens.
        assert found or process is agent, f"{process.name}: where does it listen?"
        assert set(found) <= {"127.0.0.1"}, process.name


def hosts(process):
    """Every host that a process is told to listen on, in its command or its files."""
    command, files = process.inputs["command"], process.inputs.get("files") or {}
    flags = list(pairwise(command))
    found = [value for flag, value in flags if flag == "--host"]
    addresses = [argument.partition("=")[2] for argument in command if argument.startswith("--web.listen-address=")]
    if not found:  # else --port is a number
        addresses += [value for flag, value in flags if flag == "--port"]
    files = {name.rpartition("/")[2]: content for name, content in files.items()}
    found += re.findall(r"^listen_addresses = '(.*)'$", files.get("postgresql.conf", ""), re.MULTILINE)
    found += [address.rpartition(":")[0] for address in addresses]
    return found + envoy_hosts(files.get("bootstrap.json"))


def envoy_hosts(bootstrap):
    if bootstrap is None:
        return []
    document = json.loads(bootstrap)
    listeners = document["static_resources"]["listeners"]
    return [place["address"]["socket_address"]["address"] for place in (document["admin"], *listeners)]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["prometheus", "--web.listen-address=0.0.0.0:9090"], ["0.0.0.0"]),
        (["prometheus", "--web.listen-address=:9090"], [""]),
        (["uvicorn", "--host", "::", "--port", "5000"], ["::"]),
        (["versitygw", "--port", ":7070"], [""]),
    ],
)
def test_an_open_address_would_be_found(command, found):
    assert hosts(SimpleNamespace(inputs={"command": command})) == found


def test_a_cluster_of_alertmanagers_listens_nowhere(processes):
    command = next(p.inputs["command"] for p in processes if p.inputs["name"] == "alertmanager")
    assert "--cluster.listen-address=" in command


def test_every_process_has_a_port_and_a_readiness_check_on_it(processes):
    for process in processes:
        checked = {int(number) for number in re.findall(r"\d+", json.dumps(process.inputs["ready"]))}
        assert checked & {int(port) for port in process.inputs["ports"]}, process.name


def test_every_process_names_its_part_and_what_it_comes_after(processes):
    names = {process.inputs["name"] for process in processes}
    for process in processes:
        assert process.inputs["part"] in ORDER
        assert set(process.inputs["after"]) <= names


def test_no_process_starts_through_a_shell(processes):
    assert [p.name for p in processes if p.inputs["command"][0].rsplit("/", 1)[-1] in ("sh", "bash")] == []


def test_passwords_are_references_everywhere(resources):
    for resource in resources:
        for key, value in resource.inputs.items():
            if "password" in key.lower() and isinstance(value, str):
                assert value.startswith(("registry_database-", "tracking_server-")), f"{resource.name}.{key}"


def test_job_execution_is_off_and_sources_are_restricted(processes):
    env = next(process.inputs["env"] for process in processes if process.inputs["name"] == "mlflow")
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert env["MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"].startswith("^(mlflow-artifacts:/|")
    assert "*" not in env["MLFLOW_SERVER_ALLOWED_HOSTS"]


@pytest.fixture(params=[{}, {"mlflow_connections": 12}], ids=["default", "minimum"])
def with_auth(registered, request):
    """A platform whose tracking server uses both its databases."""
    database = {"kind": "process"} | request.param
    return registered(registry_database=database, tracking_server={"kind": "process", "auth": True})


def pool_and_limits(resources):
    """How many connections one of MLflow's stores may open, and how many each role may."""
    env = next(r.inputs["env"] for r in resources if r.inputs.get("name") == "mlflow" and r.kind == "Process")
    owners = next(r.inputs["owners"] for r in resources if r.kind == "Databases")
    pool = int(env["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"]) + int(env["MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"])
    return pool, {owner["user"]: owner["connections"] for owner in owners}


def test_the_tracking_server_cannot_open_more_connections_than_its_role_may(with_auth):
    pool, limits = pool_and_limits(with_auth)
    assert 3 * pool <= limits["mlflow"]


def test_the_tracking_servers_auth_store_cannot_open_more_connections_than_its_role_may(with_auth):
    pool, limits = pool_and_limits(with_auth)
    assert pool <= limits["mlflow_auth"]


def test_the_server_admits_as_many_connections_as_its_roles_may_open(with_auth):
    resources = with_auth
    config = next(r.inputs["files"] for r in resources if r.inputs.get("name") == "postgres" and r.kind == "Process")
    lines = dict(
        line.split(" = ") for line in config["registry_database/postgresql.conf"].splitlines() if " = " in line
    )
    owners = next(r.inputs["owners"] for r in resources if r.kind == "Databases")
    roles = sum(owner["connections"] for owner in owners)
    assert roles + int(lines["superuser_reserved_connections"]) <= int(lines["max_connections"])


def test_auth_brings_a_generated_admin_and_never_a_default_one(registered):
    resources = registered(tracking_server={"kind": "process", "auth": True})
    mlflow = next(r for r in resources if r.inputs.get("name") == "mlflow" and r.kind == "Process")
    assert mlflow.inputs["secret_env"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == "tracking_server-admin-password"
    assert "password1234" not in json.dumps(mlflow.inputs)
    assert "admin_password" not in mlflow.inputs["files"]["tracking_server/auth.ini"]


def test_metrics_of_a_server_with_auth_are_scraped_with_credentials(registered):
    resources = registered(tracking_server={"kind": "process", "auth": True})
    prometheus = next(r for r in resources if r.inputs.get("name") == "prometheus" and r.kind == "Process")
    config = json.loads(prometheus.inputs["files"]["monitoring/prometheus.yml"])
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "mlflow")
    assert job["basic_auth"]["password_file"].endswith("secrets/tracking_server-admin-password")


def test_a_part_that_is_not_named_is_not_there(registered):
    resources = registered(monitoring=None, serving_cluster=None)
    assert [r.name for r in resources if r.name.startswith(("monitoring", "serving_cluster"))] == []


def test_a_throw_away_database_gives_up_durability_and_a_protected_one_does_not(registered):
    def config(template):
        resources = registered(template)
        postgres = next(r for r in resources if r.inputs.get("name") == "postgres" and r.kind == "Process")
        return postgres.inputs["files"]["registry_database/postgresql.conf"]

    assert "fsync = off" in config("preview")
    assert "fsync" not in config("local")


def test_the_descriptor_describes_every_part(resources):
    document = next(r.inputs["document"] for r in resources if r.kind == "DescriptorFile")
    assert set(ORDER) - {"images", "cluster", "edge"} <= set(document)


@pytest.fixture
def guarded(registered, tmp_path):
    chain, private = certificate(tmp_path)
    tls = {"certificate_file": str(chain), "private_key_file": str(private)}
    serving = {"kind": "process", "address": "0.0.0.0", "host": "models.test", "tls": tls, "api_keys": ["shop", "bi"]}
    return registered(serving_cluster=serving)


def test_a_serving_cluster_for_others_opens_its_router_and_nothing_else(guarded):
    processes = [resource for resource in guarded if resource.kind == "Process" and "dynamic" in resource.type]
    envoy = next(process for process in processes if process.inputs["name"] == "envoy")
    assert hosts(envoy) == ["127.0.0.1", "0.0.0.0"]
    assert {host for process in processes if process is not envoy for host in hosts(process)} == {"127.0.0.1"}


def test_every_client_gets_a_generated_key_and_the_program_knows_its_file_only(guarded):
    secrets = {r.inputs["name"]: r.inputs for r in guarded if r.kind == "GeneratedSecret" and "-key-" in r.name}
    keys = {name: inputs for name, inputs in secrets.items() if name.startswith("serving_cluster-key-")}
    assert {name.rpartition("-")[2]: inputs["length"] for name, inputs in keys.items()} == {"shop": 40, "bi": 40}
    document = next(r.inputs["document"] for r in guarded if r.kind == "DescriptorFile")["serving_cluster"]
    assert {client: path.rpartition("/")[2] for client, path in document["api_key_files"].items()} == {
        "shop": "serving_cluster-key-shop",
        "bi": "serving_cluster-key-bi",
    }
    assert document["url"].startswith("https://models.test:")


def test_the_certificates_key_is_in_no_resource(guarded, tmp_path):
    secret = (tmp_path / "tls.key").read_text().splitlines()[1]
    assert not any(secret in json.dumps(resource.inputs, default=str) for resource in guarded)


def test_without_grpc_replicas_get_no_port_for_it(registered):
    def router(**settings):
        resources = registered(serving_cluster={"kind": "process", **settings})
        agent = next(r.inputs["files"] for r in resources if r.inputs.get("name") == "serving-agent")
        return json.loads(agent["serving_cluster/agent.json"])["router"]

    assert router()["grpc"] is True
    assert router(grpc=False)["grpc"] is False
