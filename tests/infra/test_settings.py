"""Wrong configurations are refused before anything is made, with place, valid values and the nearest valid key."""

import json
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from imaging import catalog
from modelyard.errors import ModelyardError
from modelyard_infra.parts import ORDER, kinds
from modelyard_infra.program import whole_config
from modelyard_infra.settings import StackSettings
from tests.support.credentials import Issuer, certificate

ROOT = Path(__file__).resolve().parents[2]
DATABASE = {"modelyard:registry_database": {"kind": "process"}}


def read(config, tmp_path):
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    return StackSettings.read("test", config, file)


def refused(config, tmp_path):
    with pytest.raises(ModelyardError) as error:
        read(config, tmp_path)
    return str(error.value)


HELD = ["registry_database", "artifact_store", "tracking_server"]
IMAGES = tuple(catalog.IMAGES)


def template_config(name):
    return yaml.safe_load((ROOT / "stacks" / "templates" / f"{name}.yaml").read_text())["config"]


def cluster_config(references=None, **parts):
    """The template for clusters with all images, and with some parts written otherwise."""
    pinned = {name: f"registry.example/{name}@sha256:{'0' * 64}" for name in IMAGES}
    changed = {"images": {"kind": "pinned", "references": references or pinned}} | parts
    return template_config("cluster") | {f"modelyard:{part}": value for part, value in changed.items()}


@pytest.mark.parametrize("template", ["local", "preview"])
def test_every_template_of_this_machine_is_valid_and_has_all_parts(template, tmp_path):
    settings = read(template_config(template), tmp_path)
    assert list(settings.parts) == [part for part in ORDER if part not in ("images", "cluster", "edge")]


def test_the_template_for_clusters_says_which_images_it_wants(tmp_path):
    said = refused(template_config("cluster"), tmp_path)
    assert "registry_database (kind statefulset) runs the image 'postgresql'" in said
    assert "make images IMAGES=postgresql PUSH=<your registry>" in said


def test_the_template_for_clusters_is_valid_with_its_images(tmp_path):
    assert list(read(cluster_config(), tmp_path).parts) == [
        "images",
        "cluster",
        "edge",
        *HELD,
        "serving_cluster",
        "monitoring",
    ]


def test_an_image_by_tag_is_refused(tmp_path):
    said = refused(cluster_config(references={"agent": "registry.example/agent:1.0"}), tmp_path)
    assert "not <registry>/<name>@sha256:<64 hexadecimal digits>" in said


def test_a_cluster_that_nothing_pins_is_refused(tmp_path):
    said = refused(cluster_config() | {"modelyard:cluster": {"kind": "existing"}}, tmp_path)
    assert "neither `context` nor `server` says which cluster is meant" in said


def test_parts_in_two_places_are_refused(tmp_path):
    said = refused(cluster_config() | {"modelyard:tracking_server": {"kind": "process"}}, tmp_path)
    assert "tracking_server.kind is 'process', which runs on this machine" in said


def test_a_part_in_a_cluster_needs_a_cluster(tmp_path):
    config = cluster_config()
    del config["modelyard:cluster"]
    assert "needs cluster, which the stack doesn't name" in refused(config, tmp_path)


def test_defaults_are_safe(tmp_path):
    settings = read(DATABASE, tmp_path)
    assert settings.general.protect is True
    assert settings.parts["registry_database"].settings.durability == "durable"


def test_a_misspelt_part_names_its_line_and_the_nearest_part(tmp_path):
    said = refused({"modelyard:registry_databse": {"kind": "process"}}, tmp_path)
    assert "Pulumi.test.yaml:2: modelyard:registry_databse is not a setting" in said
    assert "did you mean 'registry_database'?" in said


def test_a_misspelt_setting_of_a_part_names_its_line_and_the_nearest_setting(tmp_path):
    said = refused({"modelyard:registry_database": {"kind": "process", "shared_bufers_mib": 64}}, tmp_path)
    assert "Pulumi.test.yaml:4: modelyard:registry_database.shared_bufers_mib is not a setting" in said
    assert "did you mean 'shared_buffers_mib'?" in said


def test_a_misspelt_setting_inside_a_setting_is_found_too(tmp_path):
    receiver = {"kind": "slack", "api_url_file": "/etc/slack", "chanel": "#ops"}
    said = refused({"modelyard:monitoring": {"kind": "process", "receiver": receiver}}, tmp_path)
    assert "modelyard:monitoring.receiver.chanel is not a setting" in said
    assert "did you mean 'channel'?" in said


def test_an_unknown_namespace_is_refused(tmp_path):
    said = refused(DATABASE | {"modleyard:protect": False}, tmp_path)
    assert "did you mean modelyard:protect?" in said


def test_namespaces_of_providers_are_none_of_our_business(tmp_path):
    assert read(DATABASE | {"aws:region": "eu-central-1", "aws:ports": {80: "x"}}, tmp_path).parts


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("registry_database", "port", "http"),
        ("registry_database", "port", 80),
        ("registry_database", "durability", "maybe"),
        ("registry_database", "port", "8081"),
        ("registry_database", "port", True),
        ("registry_database", "mlflow_connections", 11),
        ("registry_database", "migrated_from", 7),
        ("tracking_server", "auth", "off"),
        ("tracking_server", "auth", 1),
        ("tracking_server", "allowed_hosts", "example.com"),
        ("serving_cluster", "request_timeout_seconds", float("inf")),
        ("serving_cluster", "request_timeout_seconds", float("nan")),
        ("serving_cluster", "drain_seconds", True),
        ("monitoring", "retention_days", True),
        ("monitoring", "retention_days", 1.5),
        ("artifact_store", "bucket", "Not_A_Bucket"),
    ],
)
def test_a_wrong_value_says_key_value_and_what_is_expected(part, key, value, tmp_path):
    said = refused({f"modelyard:{part}": {"kind": "process", key: value}}, tmp_path)
    assert f"modelyard:{part}.{key} is {value!r}" in said
    assert "expected" in said or "write the kind" in said


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("serving_cluster", "request_timeout_seconds", 90),
        ("serving_cluster", "drain_seconds", 0.5),
        ("tracking_server", "allowed_hosts", ["example.com"]),
        ("tracking_server", "cors_allowed_origins", ["https://example.com"]),
        ("registry_database", "mlflow_connections", 12),
    ],
)
def test_what_yaml_writes_otherwise_is_right_all_the_same(part, key, value, tmp_path):
    config = yaml.safe_load((ROOT / "stacks" / "templates" / "local.yaml").read_text())["config"]
    settings = read(config | {f"modelyard:{part}": {"kind": "process", key: value}}, tmp_path).parts[part].settings
    assert getattr(settings, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("protect", "perhaps"), ("protect", "n"), ("protect", 0), ("minimum_free_mib", True), ("minimum_free_mib", 0.5)],
)
def test_a_wrong_type_at_the_top_says_what_is_expected(key, value, tmp_path):
    said = refused(DATABASE | {f"modelyard:{key}": value}, tmp_path)
    assert f"modelyard:{key} is {value!r}" in said
    assert "expected" in said


@pytest.mark.parametrize(
    ("key", "text", "value"), [("protect", "false", False), ("protect", "true", True), ("minimum_free_mib", "7", 7)]
)
def test_a_value_at_the_top_may_be_text_as_pulumi_writes_it(key, text, value, tmp_path):
    assert getattr(read(DATABASE | {f"modelyard:{key}": text}, tmp_path).general, key) == value


def test_a_file_and_the_engine_give_the_same_settings(tmp_path):
    part = {"kind": "process", "port": 7070}
    written = {"modelyard:protect": "false", "modelyard:minimum_free_mib": 7, "modelyard:registry_database": part}
    engines = {"modelyard:protect": "false", "modelyard:minimum_free_mib": "7"}
    engines["modelyard:registry_database"] = json.dumps(part)
    assert read(whole_config(json.dumps(engines)), tmp_path) == read(written, tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({8080: "x"}, "Pulumi.test.yaml: the key 8080 is of type int"),
        (
            {"modelyard:registry_database": {"kind": "process", True: 1}},
            "registry_database: the key True is of type bool",
        ),
        (
            {"modelyard:monitoring": {"kind": "process", "receiver": {1: 2}}},
            "monitoring.receiver: the key 1 is of type int",
        ),
    ],
)
def test_a_key_that_is_no_text_is_refused(config, said, tmp_path):
    assert said in refused(config, tmp_path)


def test_an_unknown_kind_names_the_kinds_there_are(tmp_path):
    said = refused({"modelyard:registry_database": {"kind": "oracle"}}, tmp_path)
    assert "registry_database has no kind 'oracle'" in said
    assert ", ".join(kinds("registry_database")) in said


def test_a_part_without_a_kind_is_refused(tmp_path):
    assert "says no kind" in refused({"modelyard:registry_database": {"port": 5432}}, tmp_path)


def test_a_part_that_is_no_mapping_is_refused(tmp_path):
    assert "not a mapping" in refused({"modelyard:registry_database": "process"}, tmp_path)


def test_a_part_whose_need_is_missing_is_refused(tmp_path):
    said = refused(DATABASE | {"modelyard:tracking_server": {"kind": "process"}}, tmp_path)
    assert "modelyard:tracking_server (kind process) needs artifact_store" in said


def test_two_parts_on_one_port_are_refused(tmp_path):
    config = {
        "modelyard:registry_database": {"kind": "process", "port": 7070},
        "modelyard:artifact_store": {"kind": "process", "port": 7070},
    }
    assert "artifact_store.port is 7070, and so is registry_database.port" in refused(config, tmp_path)


def test_two_servers_of_one_part_on_one_port_are_refused(tmp_path):
    monitoring = {"kind": "process", "prometheus_port": 7070, "pushgateway_port": 7070}
    said = refused({"modelyard:monitoring": monitoring}, tmp_path)
    assert "monitoring.pushgateway_port is 7070, and so is monitoring.prometheus_port" in said


def test_a_protected_database_must_be_durable(tmp_path):
    said = refused({"modelyard:registry_database": {"kind": "process", "durability": "fast"}}, tmp_path)
    assert "protect: false" in said


def test_a_stack_without_parts_is_refused(tmp_path):
    assert "names no part" in refused({"modelyard:protect": False}, tmp_path)


def test_values_come_decoded_out_of_the_engines_environment():
    document = (
        '{"modelyard:protect": "false", "modelyard:monitoring": "{\\"kind\\": \\"process\\"}", "aws:region": "x"}'
    )
    assert whole_config(document) == {
        "modelyard:protect": False,
        "modelyard:monitoring": {"kind": "process"},
        "aws:region": "x",
    }


def test_a_renamed_projects_defaults_give_way_to_what_the_stack_says(tmp_path):
    config = DATABASE | {"my-yard:protect": True, "modelyard:protect": False, "my-yard:minimum_free_mib": 7}
    general = StackSettings.read("test", config, tmp_path / "Pulumi.test.yaml", "my-yard").general
    assert (general.protect, general.minimum_free_mib) == (False, 7)


SERVING = {
    "modelyard:registry_database": {"kind": "process"},
    "modelyard:artifact_store": {"kind": "process"},
    "modelyard:tracking_server": {"kind": "process"},
}


def serving(tmp_path, **settings):
    return SERVING | {"modelyard:serving_cluster": {"kind": "process", **settings}}


def tls_in(tmp_path):
    chain, private = certificate(tmp_path)
    return {"certificate_file": str(chain), "private_key_file": str(private)}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.7"])
def test_models_are_not_opened_to_others_without_tls_and_keys(tmp_path, address):
    said = refused(serving(tmp_path, address=address), tmp_path)
    assert f"modelyard:serving_cluster.address is '{address}'" in said
    assert "others than this machine would reach the models: add tls and api_keys or jwt" in said
    assert "left out, it is '127.0.0.1'" in said
    said = refused(serving(tmp_path, address=address, api_keys=["a"]), tmp_path)
    assert "add tls" in said
    assert "api_keys or jwt" not in said
    said = refused(serving(tmp_path, address=address, tls=tls_in(tmp_path)), tmp_path)
    assert "add api_keys or jwt" in said


def test_with_tls_and_keys_models_may_be_opened_to_others(tmp_path):
    config = serving(tmp_path, address="0.0.0.0", tls=tls_in(tmp_path), api_keys=["shop", "team-b"])
    found = read(config, tmp_path).parts["serving_cluster"].settings
    assert (found.address, found.api_keys) == ("0.0.0.0", ("shop", "team-b"))


def test_on_loopback_everything_may_be_left_out(tmp_path):
    found = read(serving(tmp_path), tmp_path).parts["serving_cluster"].settings
    assert (found.address, found.tls, found.api_keys, found.jwt) == ("127.0.0.1", None, (), None)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    tls = tls_in(tmp_path) | {"private_key_file": "/nowhere/a.key"}
    said = refused(serving(tmp_path, tls=tls), tmp_path)
    assert "serving_cluster.tls.private_key_file is '/nowhere/a.key': it can't be read here: No such file" in said


def test_a_key_of_another_certificate_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    tls = tls_in(tmp_path) | {"private_key_file": tls_in(tmp_path / "other")["private_key_file"]}
    said = refused(serving(tmp_path, tls=tls), tmp_path)
    assert f"is not the key of the certificate in {tls['certificate_file']}" in said


def test_a_file_that_is_no_certificate_is_refused(tmp_path):
    tls = tls_in(tmp_path)
    Path(tls["certificate_file"]).write_text("-----BEGIN")
    assert "are not a certificate and its key in PEM" in refused(serving(tmp_path, tls=tls), tmp_path)


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tmp_path):
    tls = tls_in(tmp_path)
    key = load_pem_private_key(Path(tls["private_key_file"]).read_bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    Path(tls["private_key_file"]).write_bytes(sealed)
    assert "needs a passphrase" in refused(serving(tmp_path, tls=tls), tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"keys": []}', '"keys"'])
def test_a_file_without_an_issuers_keys_is_refused(tmp_path, content):
    jwks = tmp_path / "jwks.json"
    jwks.write_text(content)
    jwt = {"issuer": "https://i", "audiences": ["models"], "jwks_file": str(jwks)}
    assert "it holds no JSON Web Key Set" in refused(serving(tmp_path, jwt=jwt), tmp_path)


def test_a_misspelt_key_of_a_setting_inside_names_those_that_are_valid_there(tmp_path):
    said = refused(serving(tmp_path, tls=tls_in(tmp_path) | {"certificate": "x"}), tmp_path)
    assert "modelyard:serving_cluster.tls.certificate is not a setting" in said
    assert "did you mean 'certificate_file'? valid here: certificate_file, private_key_file" in said


def test_keys_and_tokens_together_are_refused(tmp_path):
    jwks = tmp_path / "jwks.json"
    jwks.write_text(Issuer().jwks())
    jwt = {"issuer": "https://i", "audiences": ["models"], "jwks_file": str(jwks)}
    said = refused(serving(tmp_path, api_keys=["a"], jwt=jwt), tmp_path)
    assert "choose one of them" in said


@pytest.mark.parametrize("address", ["localhost", "1.2.3", "127.0.0.1:80"])
def test_an_address_is_no_name(tmp_path, address):
    said = refused(serving(tmp_path, address=address), tmp_path)
    assert "modelyard:serving_cluster.address is" in said


@pytest.mark.parametrize("client", ["", "A b", "../x", "-a"])
def test_the_name_of_a_client_is_plain(tmp_path, client):
    assert "modelyard:serving_cluster.api_keys.0 is" in refused(serving(tmp_path, api_keys=[client]), tmp_path)
