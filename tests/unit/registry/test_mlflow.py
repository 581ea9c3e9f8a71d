import base64

import pytest

from modelyard.errors import AnswerIsNo, ModelyardError, Unreachable
from modelyard.processes.ports import any_free_port
from modelyard.registry.mlflow import MlflowRegistry
from modelyard.registry.versions import ModelVersion

FOLDER = f"1/models/m-{3:032x}/artifacts"


@pytest.fixture
def third(registry):
    return registry.resolve("bike-demand/3")


@pytest.mark.parametrize(
    ("text", "version"),
    [("bike-demand", 2), ("bike-demand@champion", 2), ("bike-demand/1", 1), ("bike-demand/latest", 3)],
)
def test_a_reference_is_resolved_to_an_exact_version(registry, text, version):
    assert registry.resolve(text).version == version


def test_a_model_without_a_champion_means_its_newest_version(registry, tracking):
    tracking.aliases.clear()
    assert registry.resolve("bike-demand").version == 3


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("models:/m-" + "a" * 32, f"mlflow-artifacts:/1/logged-models/m-{'a' * 32}/artifacts"),
        ("runs:/r1/model", "mlflow-artifacts:/1/r1/artifacts/model"),
        ("mlflow-artifacts:/1/x", "mlflow-artifacts:/1/x"),
    ],
)
def test_a_source_is_followed_to_a_folder(registry, tracking, source, folder):
    tracking.models["bike-demand"][1] = source
    assert registry.resolve("bike-demand/1").source == folder


def test_an_unknown_model_is_refused_with_the_nearest_name(registry):
    with pytest.raises(AnswerIsNo, match="did you mean 'bike-demand'"):
        registry.resolve("bike-demnd")


def test_an_unknown_alias_is_refused_with_those_there_are(registry):
    with pytest.raises(AnswerIsNo, match=r"champion \(version 2\)"):
        registry.resolve("bike-demand@chmpion")


def test_an_unknown_version_is_refused_with_those_there_are(registry):
    with pytest.raises(AnswerIsNo, match="its versions: 3, 2, 1"):
        registry.resolve("bike-demand/9")


def test_a_model_without_versions_is_refused(registry, tracking):
    tracking.models["empty"] = {}
    with pytest.raises(AnswerIsNo, match="has no version"):
        registry.resolve("empty")


def test_a_server_that_is_down_is_unreachable():
    with pytest.raises(Unreachable, match="does not answer"):
        MlflowRegistry(f"http://127.0.0.1:{any_free_port()}").resolve("bike-demand")


def test_a_server_that_fails_is_unreachable(registry, tracking):
    tracking.status = 500
    with pytest.raises(Unreachable, match="failed"):
        registry.resolve("bike-demand")


def test_refused_credentials_are_named(registry, tracking):
    tracking.status = 401
    with pytest.raises(ModelyardError, match="refused the credentials"):
        registry.resolve("bike-demand")


def test_credentials_come_from_a_file(tracking, tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    with MlflowRegistry.connect(tracking.url, "ada", tmp_path / "password") as registry:
        registry.resolve("bike-demand")
    assert tracking.credentials == "Basic " + base64.b64encode(b"ada:s3cret").decode()


def test_a_proxy_in_the_environment_is_not_asked(tracking, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert MlflowRegistry(tracking.url).resolve("bike-demand").version == 2


def test_all_files_are_downloaded_also_from_folders(registry, third, tmp_path):
    registry.download(third, tmp_path / "model")
    assert (tmp_path / "model" / "model.skops").read_bytes() == b"weights"
    assert (tmp_path / "model" / "code" / "features.py").read_bytes() == b"x = 1\n"


def test_names_are_percent_encoded(registry, third, tracking, tmp_path):
    tracking.artifacts[f"{FOLDER}/a b%20#?é.bin"] = b"odd"
    registry.download(third, tmp_path / "model")
    assert (tmp_path / "model" / "a b%20#?é.bin").read_bytes() == b"odd"


def test_missing_files_are_named(registry, third, tracking):
    tracking.artifacts = {}
    with pytest.raises(AnswerIsNo, match="bike-demand/3 are missing: no MLmodel"):
        registry.files(third)


def test_a_file_that_the_model_is_loaded_from_must_be_there(registry, third, tracking):
    del tracking.artifacts[f"{FOLDER}/model.skops"]
    with pytest.raises(AnswerIsNo, match=r"names model\.skops"):
        registry.files(third)


@pytest.mark.parametrize("document", [b"", b"flavors: {}", b"flavors: [", b"flavors: {python_function: 3}"])
def test_a_model_that_can_not_be_served_is_refused(registry, third, tracking, document):
    tracking.artifacts[f"{FOLDER}/MLmodel"] = document
    with pytest.raises(AnswerIsNo, match="python_function"):
        registry.files(third)


def test_a_file_that_came_short_leaves_nothing_behind(registry, third, tracking, tmp_path):
    tracking.lengths["model.skops"] = 99
    with pytest.raises(AnswerIsNo, match="7 bytes instead of 99"):
        registry.download(third, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanished_leaves_what_was_there_before(registry, third, tracking, tmp_path):
    registry.download(third, tmp_path / "model")
    tracking.entries[FOLDER] = [
        {"path": "MLmodel", "is_dir": False},
        {"path": "model.skops", "is_dir": False},
        {"path": "vanished", "is_dir": False},
    ]
    with pytest.raises(AnswerIsNo, match="vanished"):
        registry.download(third, tmp_path / "model")
    assert (tmp_path / "model" / "model.skops").exists()


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/passwd", "../x", "a\\b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(registry, third, tracking, name):
    tracking.entries[FOLDER] = [{"path": name, "is_dir": False, "file_size": 1}]
    with pytest.raises(AnswerIsNo, match="not allowed"):
        registry.files(third)


@pytest.mark.parametrize(
    "source", ["s3://bucket/x", "file:///etc", "/etc", "mlflow-artifacts:/../etc", "mlflow-artifacts:/a//b"]
)
def test_files_that_are_not_proxied_are_refused(registry, source):
    with pytest.raises(AnswerIsNo, match="can't be had through the tracking server"):
        registry.files(ModelVersion("bike-demand", 3, source))
