"""Getting model files in the background, and what came of it."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from modelyard.errors import AnswerIsNo
from modelyard.registry.versions import ModelVersion
from modelyard.serving.model_store import ModelStore
from modelyard.serving.world import Files, VersionKey

log = logging.getLogger(__name__)
RETRY_SECONDS = 3.0


class Downloads:
    """The state of every model version's files that was asked for.

    Args:
        store: Where they go.
        wake: Called when a state has changed.
    """

    def __init__(self, store: ModelStore, wake: Callable[[], None]) -> None:
        self.store = store
        self._wake = wake
        self._files: dict[VersionKey, tuple[str, Files]] = {}
        self._retry_at: dict[VersionKey, float] = {}
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="download")

    def states(self) -> dict[VersionKey, Files]:
        return {key: files for key, (_, files) in self._files.items()}

    def begin(self, model: ModelVersion) -> None:
        """Start getting a version's files."""
        self._set(model, Files("coming"))
        self._workers.submit(self._fetch, model)

    def retry(self, sources: dict[VersionKey, str]) -> None:
        """Try again what could not be reached a while ago."""
        for key, at in list(self._retry_at.items()):
            if time.monotonic() >= at:
                del self._retry_at[key]
                if key in sources and key in self._files:
                    self._workers.submit(self._fetch, ModelVersion(*key, source=sources[key]))

    def forget(self, key: VersionKey) -> None:
        """What is known of these files doesn't hold any more."""
        self._files.pop(key, None)
        self._retry_at.pop(key, None)

    def _fetch(self, model: ModelVersion) -> None:
        key = (model.name, model.version)
        try:
            self.store.fetch(model)
        except AnswerIsNo as error:
            self._set(model, Files("refused", str(error)))
        except Exception as error:
            log.warning("the files of %s will be asked for again: %s", model, error)
            self._set(model, Files("coming", f"trying again: {error}"))
            self._retry_at[key] = time.monotonic() + RETRY_SECONDS
        else:
            self._set(model, Files("here"))
        self._wake()

    def _set(self, model: ModelVersion, files: Files) -> None:
        self._files[model.name, model.version] = (model.source, files)
