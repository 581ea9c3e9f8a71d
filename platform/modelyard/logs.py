"""Show what a platform's processes said."""

import time
from pathlib import Path

from modelyard.descriptor import Descriptor
from modelyard.errors import ModelyardError
from modelyard.processes import ProcessSpec, Supervisor

FOLLOW_SECONDS = 0.2


def show(platform: Descriptor, part: str | None, *, lines: int, follow: bool) -> None:
    """Print the last lines of a part's or a process's log, and what follows.

    Raises:
        ModelyardError: there is no such part or process.
    """
    if platform.cluster is not None:
        raise ModelyardError(
            f"the platform {platform.stack!r} runs in a cluster, which keeps its logs",
            fix=f"`kubectl -n {platform.cluster.namespace} logs deployment/NAME`; `... get pods` lists them",
        )
    supervisor = Supervisor(platform.folder)
    specs = supervisor.specs()
    if part is None:
        print("\n".join(f"{spec.part:<18} {spec.name}" for spec in sorted(specs, key=lambda spec: spec.part)))
        return
    chosen = [spec for spec in specs if part in (spec.name, spec.part)]
    if not chosen:
        valid = sorted({spec.part for spec in specs} | {spec.name for spec in specs})
        raise ModelyardError(
            f"platform {platform.stack!r} has no part or process {part!r}", fix=f"it has: {', '.join(valid)}"
        )
    for spec in chosen:
        for line in supervisor.log_tail(spec.name, lines).splitlines():
            print(_line(spec, line, chosen))
    if follow:
        _follow(chosen, {spec.name: supervisor.logs / f"{spec.name}.log" for spec in chosen})


def _line(spec: ProcessSpec, line: str, chosen: list[ProcessSpec]) -> str:
    return line if len(chosen) == 1 else f"{spec.name} | {line}"


def _follow(chosen: list[ProcessSpec], paths: dict[str, Path]) -> None:
    places = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
    try:
        while True:
            for spec in chosen:
                path = paths[spec.name]
                size = path.stat().st_size if path.exists() else 0
                if size < places[spec.name]:  # it was rotated
                    places[spec.name] = 0
                if size > places[spec.name]:
                    with path.open("rb") as log:
                        log.seek(places[spec.name])
                        text = log.read(size - places[spec.name]).decode(errors="replace")
                    places[spec.name] = size
                    for line in text.splitlines():
                        print(_line(spec, line, chosen), flush=True)
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return
