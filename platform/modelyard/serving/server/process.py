"""One server process: loads its models, answers, and ends in order."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.serving.server.app import App
from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.http import Server
from modelyard.serving.server.management import Management
from modelyard.serving.server.metrics import Metrics
from modelyard.serving.server.predictions import Recorder
from modelyard.serving.server.repository import Repository
from modelyard.serving.server.settings import ServerSettings

if TYPE_CHECKING:
    from modelyard.serving.server.recording import Recording

log = logging.getLogger(__name__)
REFUSED, STUCK, TOO_LARGE = 3, 70, 71
"""Exit codes: a model can't be served; predictions never came back; more memory than allowed."""
_LOOK_SECONDS = 2.0
_HUNG_SECONDS = 5.0  # on top of what a prediction may take


@dataclass
class _End:
    """Why the process ends."""

    event: asyncio.Event
    code: int = 0

    def now(self, code: int) -> None:
        """End, with this exit code unless there is one already."""
        self.code = self.code or code
        self.event.set()


@dataclass(frozen=True)
class Sockets:
    """Where a process listens; bound already.

    Attributes:
        main: For clients.
        management: For the platform; None: nowhere.
    """

    main: socket.socket
    management: socket.socket | None = None


async def serve(settings: ServerSettings, sockets: Sockets, *, on_ready: Callable[[], None] = lambda: None) -> int:
    """Serve until told to stop (SIGTERM, SIGINT), or until the process should be started anew.

    Args:
        settings: The server's.
        sockets: Where it listens.
        on_ready: Called once all models answer.

    Returns:
        The exit code.
    """
    end = _End(asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.now, 0)
    metrics = Metrics()

    def stuck(count: int) -> None:
        if count >= settings.limits.stuck:
            log.error("%d predictions never came back: this process ends, to be started anew", count)
            end.now(STUCK)

    models = Repository(settings, metrics, stuck)
    recording = _recording(settings, metrics)
    main = Server(App(models, settings.limits, recording), settings.limits, settings.drain_seconds)
    metrics.connections.set_function(lambda: main.connections)
    servers = [(main, [sockets.main])]
    if sockets.management is not None:
        servers.append((Server(Management(models, metrics, settings), settings.limits, 1.0), [sockets.management]))
    running = [asyncio.create_task(server.serve(sockets=listening)) for server, listening in servers]
    watching = [
        asyncio.create_task(main.guard()),
        asyncio.create_task(_watch_memory(settings, end)),
        asyncio.create_task(end_if_hung(settings.limits.predict_seconds + _HUNG_SECONDS)),
    ]
    grpc = await _start_grpc(settings, models, recording)
    loading = asyncio.create_task(_load(models, end, on_ready))
    await end.event.wait()
    models.is_leaving = True
    loading.cancel()
    if grpc is not None:
        await grpc.stop(settings.drain_seconds)
    for server, _ in servers:
        server.should_exit = True
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.gather(*running), settings.drain_seconds + 2)
    for task in watching:
        task.cancel()
    if recording is not None:
        await asyncio.to_thread(recording.log.close, settings.drain_seconds)
    return end.code


def _recording(settings: ServerSettings, metrics: Metrics) -> "Recording | None":
    """The payload log, if there is to be one."""
    if settings.payload_log is None:
        return None
    from modelyard.serving.payloads import PayloadLog, PayloadSettings
    from modelyard.serving.server.recording import Recording

    recording = Recording(PayloadLog(PayloadSettings.from_json(settings.payload_log)))
    metrics.registry.register(recording)
    return recording


async def _load(models: Repository, end: _End, on_ready: Callable[[], None]) -> None:
    try:
        await models.load_all()
    except ModelRefused as error:
        log.error("%s", error)
        log.error("this model server has refused its model")
        end.now(REFUSED)
    except Exception:
        log.exception("a model could not be loaded")
        end.now(REFUSED)
    else:
        on_ready()


async def _watch_memory(settings: ServerSettings, end: _End) -> None:
    limit = settings.limits.memory_bytes
    while limit is not None:
        await asyncio.sleep(_LOOK_SECONDS)
        if (held := resident_bytes()) > limit:
            log.error("this process holds %d MiB, more than it may: it ends, to be started anew", held >> 20)
            end.now(TOO_LARGE)


async def end_if_hung(seconds: float) -> None:
    """End the process, with the place where it hangs in its log, when the event loop gets no turn for so long.

    Predictions that have always been short are done on the event loop. If one of those hangs in compiled code, no
    Python code runs any more, not even in other threads; faulthandler's thread is C and needs none.

    Args:
        seconds: More than anything may take.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(seconds, exit=True)
            await asyncio.sleep(min(_LOOK_SECONDS, seconds / 2))
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _start_grpc(settings: ServerSettings, models: Repository, recording: Recorder | None) -> Any:
    if settings.grpc_port is None:
        return None
    from modelyard.serving.server import grpc_service

    return await grpc_service.start(
        models,
        f"{settings.host}:{settings.grpc_port}",
        max_message_bytes=settings.limits.request_bytes,
        recorder=recording,
        observer=models.told,
    )


def resident_bytes() -> int:
    """Memory that this process holds, as Linux counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ended(code: int) -> None:
    """End the process now: threads that a model has started, or is stuck in, must not hold it up."""
    logging.shutdown()
    os._exit(code)
