"""What is up and where: the table that `make up` ends with."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from modelyard.descriptor import Descriptor
from modelyard.processes import ProcessStatus, Supervisor

HEALTHY = "running"


@dataclass(frozen=True)
class PartStatus:
    """One part.

    Attributes:
        state: `running` if all of its processes are, else the state of the first that is not.
        url: Where it is.
        processes: What it consists of.
    """

    part: str
    kind: str
    state: str
    url: str
    processes: tuple[ProcessStatus, ...]


@dataclass(frozen=True)
class Report:
    """One platform."""

    stack: str
    folder: str
    parts: tuple[PartStatus, ...]

    @property
    def is_up(self) -> bool:
        return all(part.state == HEALTHY for part in self.parts)


def look(platform: Descriptor) -> Report:
    """Ask the supervisor and every process how they are, or the cluster."""
    if platform.cluster is not None:
        from modelyard.kube import remote

        return remote.look(platform)
    supervisor = Supervisor(platform.folder)
    # A model server that is still loading its model doesn't make the part unhealthy: `modelyard models` tells of it.
    part_of = {spec.name: spec.part for spec in supervisor.specs() if spec.waited_for}
    processes = supervisor.status()
    parts = tuple(
        _part(part, kind, url, [process for process in processes if part_of.get(process.name) == part])
        for part, kind, url in addresses(platform)
    )
    return Report(platform.stack, str(platform.folder), parts)


def addresses(platform: Descriptor) -> list[tuple[str, str, str]]:
    """Every part: its name, its kind, and where it is."""
    found = []
    if database := platform.registry_database:
        found.append(("registry_database", database.kind, f"postgresql://{database.host}:{database.port}"))
    if store := platform.artifact_store:
        found.append(("artifact_store", store.kind, store.endpoint_url))
    if tracking := platform.tracking_server:
        found.append(("tracking_server", tracking.kind, tracking.url))
    if serving := platform.serving_cluster:
        found.append(("serving_cluster", serving.kind, serving.url))
    if monitoring := platform.monitoring:
        found.append(("monitoring", monitoring.kind, monitoring.prometheus_url))
    return found


def _part(part: str, kind: str, url: str, processes: Sequence[ProcessStatus]) -> PartStatus:
    sick = [process.state for process in processes if process.state != HEALTHY]
    state = HEALTHY if processes and not sick else sick[0] if sick else "stopped"
    return PartStatus(part, kind, state, url, tuple(processes))


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(asdict(report) | {"is_up": report.is_up}, indent=1)


def as_table(report: Report) -> str:
    """The report for people; a process is named where it is not running."""
    rows = [("part", "state", "URL")]
    for part in report.parts:
        rows.append((part.part, part.state, part.url))
        rows += [(f"  {p.name}", p.state, f"{p.starts} starts") for p in part.processes if p.state != HEALTHY]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:<{widths[0]}}  {state:<{widths[1]}}  {url}" for name, state, url in rows]
    return "\n".join([f"platform {report.stack!r} in {report.folder}", "", *lines])
