"""Several server processes on one port, kept alive by their parent; or just one, which needs no parent."""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

import uvloop

from modelyard.errors import ModelyardError
from modelyard.serving.server.arguments import Inherited, parse
from modelyard.serving.server.http import Server
from modelyard.serving.server.process import REFUSED, Sockets, serve
from modelyard.serving.server.settings import ServerSettings
from modelyard.serving.server.together import Together

log = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_QUICK_SECONDS = 10.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def run(arguments: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit code.

    Args:
        arguments: The command line without the program's name.
    """
    settings, inherited = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if inherited is None and settings.workers > 1:
                return runner.run(_Parent(settings, arguments).run())
            return runner.run(serve(settings, _sockets(settings, inherited)))
    except (OSError, ModelyardError) as error:
        log.error("%s", error)
        return 1


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address, not listening yet.

    Args:
        host: The address.
        port: The port.
        shared: Whether other sockets are bound to it too, each getting its share of the connections.

    Raises:
        OSError: the port is taken.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        raise OSError(f"{host}:{port} can't be listened on: {error.strerror}") from error
    return made


class _Parent:
    """Starts the workers, starts those anew that end, and ends them all.

    The sockets are the parent's: while a worker is being started anew, connections to it wait instead of failing.
    """

    def __init__(self, settings: ServerSettings, arguments: Sequence[str]) -> None:
        self._settings = settings
        self._arguments = list(arguments)
        self._stopping = asyncio.Event()
        self._refused = False
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        host, count = self._settings.host, self._settings.workers
        mains = [bound(host, self._settings.port, shared=True) for _ in range(count)]
        managements = [bound("127.0.0.1", 0) for _ in range(count)]
        ports = [one.getsockname()[1] for one in managements]
        keeping = [asyncio.create_task(self._keep(*one)) for one in zip(range(count), mains, managements, strict=True)]
        management = None
        if self._settings.management_port is not None:
            management = Server(Together(ports), self._settings.limits, 1.0)
            listening = bound(host, self._settings.management_port)
            keeping.append(asyncio.create_task(management.serve(sockets=[listening])))
        await self._stopping.wait()
        if management is not None:
            management.should_exit = True
        for process in self._processes.values():
            if process.returncode is None:
                process.terminate()
        await asyncio.wait(keeping, timeout=self._settings.drain_seconds + 5)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        return REFUSED if self._refused else 0

    async def _keep(self, index: int, main: socket.socket, management: socket.socket) -> None:
        """Keep one worker running until all stop."""
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        fds = (main.fileno(), management.fileno())
        command = [sys.executable, "-m", "modelyard.serving.server", *self._arguments]
        while not self._stopping.is_set():
            began = loop.time()
            process = await asyncio.create_subprocess_exec(
                *command, "--listen-fd", str(fds[0]), "--management-fd", str(fds[1]), pass_fds=fds
            )
            self._processes[index] = process
            code = await process.wait()
            if self._stopping.is_set():
                return
            if code == REFUSED:
                self._refused = True
                self._stopping.set()
                return
            pause = _FIRST_PAUSE if loop.time() - began > _QUICK_SECONDS else min(pause * 2, _LONGEST_PAUSE)
            log.error("worker %d ended with %s; the next one starts in %g s", index, code, pause)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue


def _sockets(settings: ServerSettings, inherited: Inherited | None) -> Sockets:
    if inherited is not None:
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:
            raise OSError("the parent of this worker has gone")
        return Sockets(socket.socket(fileno=inherited.main), socket.socket(fileno=inherited.management))
    management = settings.management_port
    return Sockets(
        bound(settings.host, settings.port), None if management is None else bound(settings.host, management)
    )


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
