"""The replicas of one platform: found among its supervised processes, asked how they are, started, removed."""

import logging
import time
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modelyard.processes import ProcessSpec, Supervisor, launch
from modelyard.serving.replicas import (
    Answer,
    ask,
    free_ports,
    grpc_port,
    port_count,
    refuses,
    replica_of,
    replica_spec,
    telling_lines,
)
from modelyard.serving.settings import AgentSettings
from modelyard.serving.world import NewReplica, Replica, VersionKey

log = logging.getLogger(__name__)
SILENT_CHECKS = 10  # a busy model server may leave that many checks without an answer
MEND_SECONDS = 5.0  # how often to ask the supervisor whether a replica that doesn't answer is running at all
LOG_LINES = 100


@dataclass
class _Seen:
    """What was noticed about a replica so far."""

    since: float
    ready: bool
    answered_at: float
    silent: int = 0


class Fleet:
    """The replicas that the agent owns; they live on when the agent dies.

    Args:
        settings: The agent's.
        files_of: The folder with a version's files, None if it isn't known.
    """

    def __init__(self, settings: AgentSettings, files_of: Callable[[VersionKey], Path | None]) -> None:
        self.supervisor = Supervisor(settings.platform_folder)
        self._settings = settings
        self._files_of = files_of
        self._seen: dict[str, _Seen] = {}
        self._removing: dict[str, Future[None]] = {}
        self._asking = ThreadPoolExecutor(8, thread_name_prefix="ask")
        self._stopping = ThreadPoolExecutor(8, thread_name_prefix="remove")

    def specs(self) -> list[tuple[ProcessSpec, NewReplica]]:
        """The replicas that are under supervision."""
        return [(spec, new) for spec in self.supervisor.specs() if (new := replica_of(spec))]

    def look(self, served: Set[VersionKey], active: Mapping[int, int] | None) -> tuple[Replica, ...]:
        """How every replica is now.

        Args:
            served: Versions that requests go to: one that is silent at first sight counts as busy.
            active: Requests in progress by port, if known.
        """
        self._forget_removed()
        found = {spec.name: (spec, new) for spec, new in self.specs()}
        answers = dict(zip(found, self._asking.map(ask, [spec for spec, _ in found.values()]), strict=True))
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        now = time.monotonic()
        return tuple(
            self._replica(spec, new, answers[name], now, served=(new.model, new.version) in served, active=active)
            for name, (spec, new) in found.items()
        )

    def start(self, new: NewReplica) -> None:
        """Put a replica under supervision, on free ports.

        Raises:
            StartFailed: one of the ports was taken in the meantime.
        """
        files = self._files_of((new.model, new.version))
        if files is None or not self.supervisor.is_running():
            return
        taken = {port for spec in self.supervisor.specs() for port in spec.ports}
        spec = replica_spec(self._settings, new, files, free_ports(taken, port_count(self._settings)))
        log.info("starting %s on port %d", spec.name, spec.ports[0])
        self.supervisor.put(spec, wait=False)

    def remove(self, name: str) -> None:
        """Begin to stop a replica."""
        if name not in self._removing:
            log.info("removing %s", name)
            self._removing[name] = self._stopping.submit(self.supervisor.remove, name)

    def remove_all(self, timeout: float) -> None:
        """Stop every replica, as far as that can be done within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for spec, _ in self.specs():
            self.remove(spec.name)
        while self._removing and time.monotonic() < deadline:
            self._forget_removed()
            time.sleep(0.02)

    @property
    def is_removing(self) -> bool:
        return bool(self._removing)

    def _forget_removed(self) -> None:
        for name, future in list(self._removing.items()):
            if future.done():
                del self._removing[name]
                if error := future.exception():
                    log.error("%s could not be removed: %s", name, error)

    def _replica(
        self,
        spec: ProcessSpec,
        new: NewReplica,
        answer: Answer,
        now: float,
        *,
        served: bool,
        active: Mapping[int, int] | None,
    ) -> Replica:
        first = _Seen(now, ready=served and answer == "silent", answered_at=now - MEND_SECONDS)
        seen = self._seen.setdefault(spec.name, first)
        seen.silent = seen.silent + 1 if answer == "silent" else 0
        seen.ready = answer == "ready" or (answer == "silent" and seen.ready and seen.silent < SILENT_CHECKS)
        if answer != "away":
            seen.answered_at = now
        removing = spec.name in self._removing
        if not removing and now - seen.answered_at >= MEND_SECONDS:
            self._mend(spec, seen, now)
        starts = launch.starts(self._settings.platform_folder / "supervisor" / f"{spec.name}.starts")
        log_tail = (
            ""
            if seen.ready or (starts < 2 and now - seen.since < self._settings.replica.ready_seconds)
            else self.supervisor.log_tail(spec.name, LOG_LINES)
        )
        return Replica(
            name=spec.name,
            model=new.model,
            version=new.version,
            index=new.index,
            port=spec.ports[0],
            grpc_port=grpc_port(spec),
            since=seen.since,
            ready=seen.ready,
            starts=starts,
            current=self._is_current(spec, new),
            active=None if active is None else sum(active.get(port, 0) for port in spec.ports),
            removing=removing,
            refuses=refuses(log_tail),
            log=telling_lines(log_tail),
        )

    def _is_current(self, spec: ProcessSpec, new: NewReplica) -> bool:
        files = self._files_of((new.model, new.version))
        if files is None or len(spec.ports) != port_count(self._settings):
            return files is None
        return spec.digest == replica_spec(self._settings, new, files, spec.ports).digest

    def _mend(self, spec: ProcessSpec, seen: _Seen, now: float) -> None:
        """Start a replica that nobody is starting: after a power cut its specification is all there is."""
        seen.answered_at = now
        if self.supervisor.is_running() and self.supervisor.difference(spec, patience=0) == "it is not running":
            log.warning("%s is not running: starting it", spec.name)
            self.supervisor.put(spec, wait=False)
