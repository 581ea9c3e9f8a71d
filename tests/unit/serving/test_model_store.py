import pytest

from modelyard.errors import Unreachable
from modelyard.registry.versions import ModelVersion
from modelyard.serving.model_store import KEPT_PER_MODEL, ModelStore

MODEL = ModelVersion("bike", 3, "mlflow-artifacts:/1/models/m-1/artifacts")


class Registry:
    """Hands out one file per model, and counts."""

    def __init__(self):
        self.downloads = 0
        self.is_up = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def download(self, model, folder):
        if not self.is_up:
            raise Unreachable("the tracking server does not answer")
        self.downloads += 1
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "model").write_text(model.source)


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def store(tmp_path, registry):
    return ModelStore(tmp_path, lambda: registry)


def test_a_model_is_downloaded_once(store, registry):
    store.fetch(MODEL)
    store.fetch(MODEL)
    assert registry.downloads == 1
    assert (store.path(MODEL) / "data" / "model").read_text() == MODEL.source


def test_a_model_that_is_here_needs_no_registry(store, registry):
    store.fetch(MODEL)
    registry.is_up = False
    store.fetch(MODEL)


def test_a_model_that_is_not_here_needs_the_registry(store, registry):
    registry.is_up = False
    with pytest.raises(Unreachable):
        store.fetch(MODEL)


@pytest.mark.parametrize("damage", ["altered", "removed", "added", "no manifest"])
def test_a_model_that_is_not_as_it_was_downloaded_is_downloaded_again(store, registry, damage):
    store.fetch(MODEL)
    folder = store.path(MODEL)
    if damage == "altered":
        (folder / "data" / "model").write_text("x" * len(MODEL.source))
    elif damage == "removed":
        (folder / "data" / "model").unlink()
    elif damage == "added":
        (folder / "model-settings.json").write_text("{}")
    else:
        folder.with_suffix(".json").unlink()
    store.fetch(MODEL)
    assert registry.downloads == 2


def test_the_same_version_of_another_registry_is_another_model(store, registry):
    other = ModelVersion("bike", 3, "mlflow-artifacts:/1/models/m-2/artifacts")
    store.fetch(MODEL)
    store.fetch(other)
    assert store.path(other) != store.path(MODEL)
    assert registry.downloads == 2


@pytest.mark.parametrize("name", ["../evil", "a/b", ".."])
def test_no_name_leads_out_of_the_folder(store, name):
    path = store.path(ModelVersion(name, 1, "s"))
    assert path.resolve().is_relative_to(store.folder.resolve())
    assert path.resolve().parent != store.folder.resolve()


def test_old_models_are_forgotten_and_needed_ones_are_not(store):
    models = [ModelVersion("bike", version, "s") for version in range(1, KEPT_PER_MODEL + 4)]
    for age, model in enumerate(models):
        store.fetch(model)
        import os

        os.utime(store.path(model), (age, age))
    store.forget_all_but({models[0]})
    left = [model.version for model in models if store.path(model).exists()]
    assert left == [1, *range(4, KEPT_PER_MODEL + 4)]
