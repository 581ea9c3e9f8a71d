"""Models that MLflow saved, each once per run and only if a test asks for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import saved_models


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of one of `tests.support.saved_models`, by its function's name; not to be changed."""
    root, made = tmp_path_factory.mktemp("saved"), dict[str, Path]()

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(saved_models, name)(root / name)
        return made[name]

    return folder
