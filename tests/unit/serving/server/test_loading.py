"""What is loaded, what is refused, and that the refusal comes before anything could have run."""

import gzip
import json
import os
import pickle
import shutil
import zipfile

import pytest
import yaml

from modelyard.serving.model_store import digests
from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading.files import model_files
from modelyard.serving.server.loading.native import native


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


@pytest.fixture
def bomb(tmp_path):
    """A pickle, and the file that shows that it was loaded."""
    mark = tmp_path / "exploded"
    yield pickle.dumps(Bomb(mark))
    assert not mark.exists()


@pytest.fixture
def copy(saved, tmp_path):
    """A model's folder to change."""

    def made(name):
        return shutil.copytree(saved(name), tmp_path / name)

    return made


def edit(folder, change):
    path = folder / "MLmodel"
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


def load(folder, *, allow_pickle=False):
    return native(model_files(folder), allow_pickle=allow_pickle)


def test_a_pickle_is_refused_and_the_message_says_how_to_allow_it(saved):
    with pytest.raises(ModelRefused, match="allow_pickle"):
        load(saved("sklearn_pickle"))


def test_a_pickle_that_is_allowed_is_loaded_and_said_to_be_one(saved):
    model = load(saved("sklearn_pickle"), allow_pickle=True)
    assert (model.unpickled, model.format) == (True, "pickle")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("sklearn_numbers", "model.skops"),
        ("xgboost_booster", "model.ubj"),
        ("lightgbm_booster", "model.lgb"),
        ("onnx", "model.onnx"),
    ],
)
def test_a_pickle_by_another_name_is_refused(copy, bomb, pack, name, file):
    folder = copy(name)
    (folder / file).write_bytes(pack(bomb))
    with pytest.raises(ModelRefused):
        load(folder)


def test_a_pickle_that_calls_itself_a_booster_of_scikit_learns_kind_is_refused(copy, bomb):
    folder = copy("lightgbm_booster")
    (folder / "model.lgb").write_bytes(bomb)
    edit(folder, lambda document: document["flavors"]["lightgbm"].update(model_class="lightgbm.sklearn.LGBMClassifier"))
    with pytest.raises(ModelRefused, match="said to be a skops file and is a pickle"):
        load(folder)


def test_a_class_that_is_none_of_xgboosts_is_refused(copy):
    folder = copy("xgboost_booster")
    edit(folder, lambda document: document["flavors"]["xgboost"].update(model_class="subprocess.Popen"))
    with pytest.raises(ModelRefused, match="none of 'Booster'"):
        load(folder)


def test_a_python_function_is_refused(copy, bomb):
    folder = copy("sklearn_numbers")
    (folder / "python_model.pkl").write_bytes(bomb)
    edit(folder, lambda document: document["flavors"]["python_function"].update(loader_module="mlflow.pyfunc.model"))
    with pytest.raises(ModelRefused, match="allow_pickle"):
        load(folder)


@pytest.fixture
def network(copy):
    """A PyTorch model's folder, with these files in its folder of data."""

    def made(*names):
        folder = copy("sklearn_numbers")
        (folder / "data").mkdir()
        for name in names:
            (folder / "data" / name).write_bytes(b"")
        pyfunc = {"loader_module": "mlflow.pytorch", "data": "data"}
        edit(folder, lambda document: document.update(flavors={"python_function": pyfunc, "pytorch": {}}))
        return folder

    return made


@pytest.mark.parametrize("names", [("model.pth",), ("model.pth", "model.pt2"), ()])
def test_a_network_that_has_to_be_unpickled_is_refused(network, names):
    with pytest.raises(ModelRefused, match="allow_pickle"):
        load(network(*names))


def test_an_exported_network_is_a_matter_of_pytorch_alone(network, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ModelRefused, match=r"needs a package that isn't installed: .*torch"):
        load(network("model.pt2"))


def change_schema(path, change):
    """Rewrite the schema inside a skops file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("sklearn.utils", "Bunch"), ("subprocess", "Popen")])
def test_a_skops_file_with_a_type_that_nobody_reviewed_is_refused(copy, module, name):
    folder = copy("sklearn_numbers")
    change_schema(folder / "model.skops", lambda schema: schema.update(__module__=module, __class__=name))
    with pytest.raises(ModelRefused):
        load(folder)


def test_a_skops_file_cannot_trust_itself(copy):
    folder = copy("sklearn_numbers")
    change_schema(folder / "model.skops", lambda schema: schema.update(__module__="os", __class__="system"))
    edit(folder, lambda document: document["flavors"]["sklearn"].update(skops_trusted_types=["os.system"]))
    with pytest.raises(ModelRefused, match=r"nobody has reviewed: 'os\.system'"):
        load(folder)


@pytest.mark.parametrize("path", ["../elsewhere/model.skops", "/etc/passwd", ".."])
def test_a_path_out_of_the_folder_is_refused(copy, path):
    folder = copy("sklearn_numbers")
    edit(folder, lambda document: document["flavors"]["sklearn"].update(pickled_model=path))
    with pytest.raises(ModelRefused, match="outside of the model's folder"):
        load(folder)


def test_a_link_out_of_the_folder_is_refused(copy, tmp_path):
    folder = copy("sklearn_numbers")
    (tmp_path / "elsewhere").write_text("")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefused, match="leads out"):
        load(folder)


@pytest.mark.parametrize("change", ["edit", "remove", "add"])
def test_files_that_are_not_those_of_the_manifest_are_refused_by_name(copy, change):
    folder = copy("sklearn_numbers")
    manifest, file = digests(folder), folder / ("model.skops" if change != "add" else "added.py")
    if change == "remove":
        file.unlink()
    else:
        file.write_bytes(b"x")
    with pytest.raises(ModelRefused, match=file.name):
        model_files(folder, manifest)


def test_a_missing_file_is_named(copy):
    folder = copy("sklearn_numbers")
    (folder / "model.skops").unlink()
    with pytest.raises(ModelRefused, match=r"model\.skops, which is not there"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[", "a: 1", "flavors: {python_function: 3}", "flavors: {sklearn: {}}"])
def test_an_mlmodel_that_is_none_is_refused(copy, text):
    folder = copy("sklearn_numbers")
    (folder / "MLmodel").write_text(text)
    with pytest.raises(ModelRefused, match="MLmodel"):
        load(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match="is no MLflow model"):
        model_files(tmp_path)


def test_a_corrupt_file_is_refused(copy):
    folder = copy("sklearn_numbers")
    whole = (folder / "model.skops").read_bytes()
    (folder / "model.skops").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelRefused):
        load(folder)


def test_a_package_that_is_missing_is_named(copy, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    with pytest.raises(ModelRefused, match=r"needs a package that isn't installed: .*xgboost"):
        load(copy("xgboost_booster"))


def test_loading_leaves_no_other_switch_on(saved):
    load(saved("sklearn_numbers"))
    assert os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION") is None
