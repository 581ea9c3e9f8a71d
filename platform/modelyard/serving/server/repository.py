"""The models of one server process: loaded, asked, replaced without a failed request."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from modelyard.serving.server.batching import Batcher
from modelyard.serving.server.errors import ModelRefused, NotReady, RequestError, UnknownModel, did_you_mean, listed
from modelyard.serving.server.interface import Question, ServedModel, TensorMetadata
from modelyard.serving.server.metrics import Metrics, ModelMetrics
from modelyard.serving.server.model import AnyInputs, Loaded, input_metadata, load, output_metadata
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.settings import ModelSettings, ServerSettings
from modelyard.serving.server.signature import Signature

log = logging.getLogger(__name__)


class Served:
    """A loaded version that answers."""

    def __init__(
        self, loaded: Loaded, settings: ServerSettings, metrics: Metrics, on_stuck: Callable[[int], None]
    ) -> None:
        self.name: str = loaded.settings.name
        self.version: str = loaded.settings.version
        self.platform: str = f"mlflow_{loaded.files.flavor}"
        self.signature: Signature = loaded.signature
        self.inputs: AnyInputs = loaded.inputs
        self.input_metadata: tuple[TensorMetadata, ...] = input_metadata(loaded.signature)
        self.output_metadata: tuple[TensorMetadata, ...] = output_metadata(loaded.signature)
        self.facts: dict[str, Any] = loaded.facts
        self.settings: ModelSettings = loaded.settings
        self.metrics = ModelMetrics(metrics, (self.name, self.version), self.facts)

        def stuck(count: int) -> None:
            self.metrics.stuck.inc()
            on_stuck(count)

        self.batcher = Batcher(
            self.name,
            loaded.predictor,
            row_wise=loaded.proof.row_wise,
            compiled=loaded.proof.way != "pyfunc" and not loaded.unpickled,
            limits=settings.limits,
            observer=self,
            on_stuck=stuck,
        )
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)

    async def ask(self, question: Question) -> Output:
        """A prediction."""
        return await self.batcher.submit(question)

    def predicted(self, questions: list[Question], rows: int, seconds: float) -> None:
        """A batch was predicted."""
        self.metrics.batch.observe(rows)
        self.metrics.predict.observe(seconds)


class Repository:
    """What one process serves.

    Args:
        settings: The server's.
        metrics: Where each model's are kept.
        on_stuck: Called when a prediction never came back, with the number of those of that model.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics, on_stuck: Callable[[int], None]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_stuck = on_stuck
        self._served: dict[str, dict[str, Served]] = {}
        self._current: dict[str, str] = {}
        self._loading: set[tuple[str, str]] = {(one.name, one.version) for one in settings.models}
        self._closing: set[asyncio.Task[None]] = set()
        self.is_leaving = False

    @property
    def is_ready(self) -> bool:
        """Whether all that should be loaded is, and the server isn't on its way out."""
        return not self._loading and not self.is_leaving

    def find(self, name: str, version: str | None = None) -> Served:
        """A model that answers; without a version, the current one."""
        versions = self._served.get(name)
        if versions is None:
            if any(name == one for one, _ in self._loading):
                raise NotReady(f"model {name!r} is being loaded", retry_after=1)
            known = f"; there are {listed(self._served)}" if self._served else ""
            raise UnknownModel(f"no model {name!r} is served here{did_you_mean(name, self._served)}{known}")
        found = versions.get(version or self._current[name])
        if found is None:
            if (name, version) in self._loading:
                raise NotReady(f"version {version} of model {name!r} is being loaded", retry_after=1)
            raise UnknownModel(f"model {name!r} is not served in version {version!r}; there are {listed(versions)}")
        return found

    def versions(self, name: str) -> list[str]:
        """The versions of a model that answer."""
        return list(self._served.get(name, ()))

    def names(self) -> list[str]:
        """Every model that answers."""
        return list(self._served)

    def every(self) -> Iterable[Served]:
        """Every version that answers."""
        return [one for versions in self._served.values() for one in versions.values()]

    async def load_all(self) -> None:
        """Load what the settings say, one after the other: together they would need the memory of all at once.

        Raises:
            ModelRefused: one can't be served.
        """
        for one in self._settings.models:
            await self.load(one, make_current=one.name not in self._current)

    async def load(self, settings: ModelSettings, *, make_current: bool = True) -> Served:
        """Load a version beside what is there; from then on it is asked. An older one with the same number drains.

        Args:
            settings: Which version.
            make_current: Whether requests that name no version go to it.

        Raises:
            ModelRefused: it can't be served; what was there goes on.
        """
        key = (settings.name, settings.version)
        self._loading.add(key)
        try:
            loaded = await asyncio.to_thread(load, settings, self._settings)
            old = self._served.get(settings.name, {}).get(settings.version)
            if old is not None:
                self._retire(old)
            served = Served(loaded, self._settings, self._metrics, self._on_stuck)
        finally:
            self._loading.discard(key)
        self._served.setdefault(settings.name, {})[settings.version] = served
        if make_current or settings.name not in self._current:
            self._current[settings.name] = settings.version
        log.info("model %s version %s is ready: %s", settings.name, settings.version, served.facts)
        return served

    def unload(self, name: str, version: str | None = None) -> None:
        """Take a version, or all of a model, out; requests in progress are finished.

        Raises:
            UnknownModel: it isn't there.
            ModelRefused: it is the one that requests without a version go to, and there are others.
        """
        found = self.find(name, version)
        others = [one for one in self._served[name] if one != found.version]
        if version and found.version == self._current[name] and others:
            raise ModelRefused(f"version {version} of {name!r} is the current one: load another one first")
        for leaving in [found] if version else list(self._served[name].values()):
            del self._served[name][leaving.version]
            self._retire(leaving)
        if not self._served[name]:
            del self._served[name], self._current[name]

    def _retire(self, old: Served) -> None:
        async def finish() -> None:
            await old.batcher.idle()
            old.batcher.close()

        old.metrics.forget()
        task = asyncio.get_running_loop().create_task(finish())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def told(self, served: ServedModel | None, error: RequestError | None, seconds: float) -> None:
        """Count a request over gRPC.

        Args:
            served: Who was asked; None: nobody that is here.
            error: What was wrong; None: nothing.
            seconds: From its arrival to its answer.
        """
        if not isinstance(served, Served):
            self.unserved(error.kind if error else "unknown_model")
            return
        if error is not None:
            served.metrics.failed(error.kind)
        served.metrics.answered("grpc", error.status if error else 200, seconds)

    def unserved(self, kind: str) -> None:
        """Count a request that is for none of the models here."""
        self._metrics.errors.labels("", "", kind).inc()

    async def drained(self) -> None:
        """Wait until no model has anything to do."""
        for one in self.every():
            await one.batcher.idle()
