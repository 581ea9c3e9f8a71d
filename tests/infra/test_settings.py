"""Wrong configurations are refused before anything is made, with place, valid values and the nearest valid key."""

from pathlib import Path

import pytest
import yaml

from modelyard.errors import ModelyardError
from modelyard_infra.parts import ORDER, kinds
from modelyard_infra.program import whole_config
from modelyard_infra.settings import StackSettings

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


@pytest.mark.parametrize("template", sorted((ROOT / "stacks" / "templates").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_template_is_valid(template, tmp_path):
    settings = read(yaml.safe_load(template.read_text())["config"], tmp_path)
    assert list(settings.parts) == list(ORDER)


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
    assert read(DATABASE | {"aws:region": "eu-central-1"}, tmp_path).parts


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("registry_database", "port", "http"),
        ("registry_database", "port", 80),
        ("registry_database", "durability", "maybe"),
        ("registry_database", "mlflow_connections", 1),
        ("artifact_store", "bucket", "Not_A_Bucket"),
    ],
)
def test_a_wrong_value_says_key_value_and_what_is_expected(part, key, value, tmp_path):
    said = refused({f"modelyard:{part}": {"kind": "process", key: value}}, tmp_path)
    assert f"modelyard:{part}.{key} is {value!r}" in said
    assert "expected" in said


def test_a_wrong_type_at_the_top_says_what_is_expected(tmp_path):
    said = refused(DATABASE | {"modelyard:protect": "perhaps"}, tmp_path)
    assert "modelyard:protect is 'perhaps'" in said


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
