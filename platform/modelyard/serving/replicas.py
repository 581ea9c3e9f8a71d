"""One replica: a model-server process for one model version, as a command line and a health check.

The only place that knows which model server it is (`modelyard.serving.server`, one process without workers). Another
one has to answer V2 and `/invocations` on its first port, Prometheus on its last, and V2 over gRPC on one in between.
"""

import http.client
import json
import re
from collections.abc import Set
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from modelyard.processes import HttpCheck, ProcessSpec
from modelyard.processes.ports import any_free_port
from modelyard.serving.clusters import slug
from modelyard.serving.settings import AgentSettings
from modelyard.serving.world import NewReplica

PREFIX = "model-"
_REFUSAL = "this model server has refused its model"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ROUTINE = re.compile(rf"^\d{{4}}-\d\d-\d\d \S+ (INFO|.*{_REFUSAL})|^\[modelyard\]")
_MODEL, _VERSION, _INDEX = "MODELYARD_MODEL", "MODELYARD_VERSION", "MODELYARD_REPLICA"

Answer = Literal["ready", "away", "silent"]


def replica_name(new: NewReplica) -> str:
    return f"{PREFIX}{slug(new.model)}-v{new.version}-{new.index}"


def replica_spec(settings: AgentSettings, new: NewReplica, files: Path, ports: tuple[int, ...]) -> ProcessSpec:
    """The process that serves a model version.

    Args:
        settings: Of the agent that owns it.
        new: Which version, and which of its replicas.
        files: The folder with the model's files.
        ports: Where it answers, over gRPC too if the router passes that on, and where its metrics are.
    """
    port, *grpc_ports, management_port = ports
    replica = settings.replica
    return ProcessSpec(
        name=replica_name(new),
        part="serving_cluster",
        waited_for=False,
        command=(
            *(str(replica.python), "-m", "modelyard.serving.server"),
            *("--model", _model(settings, new, files)),
            *("--host", "127.0.0.1", "--port", str(port), "--management-port", str(management_port)),
            *(option for grpc_port in grpc_ports for option in ("--grpc-port", str(grpc_port))),
            *("--proofs", str(settings.models_folder / ".proofs")),
            *("--max-request-mib", str(settings.router.max_request_mib)),
            *("--predict-seconds", f"{settings.router.request_timeout_seconds:g}"),
            *("--receive-seconds", f"{settings.router.receive_timeout_seconds:g}"),
            *("--drain-seconds", f"{replica.stop_seconds:g}"),
            *(("--payload-log", replica.payload_log) if replica.payload_log else ()),
        ),
        env=_environment(settings, new),
        folder=f"{settings.folder.relative_to(settings.platform_folder)}/empty",
        ports=ports,
        ready=HttpCheck(url=f"http://127.0.0.1:{port}/v2/models/{quote(new.model, safe='')}/ready"),
        ready_seconds=replica.ready_seconds,
        stop_seconds=replica.stop_seconds + 5,
    )


def _model(settings: AgentSettings, new: NewReplica, files: Path) -> str:
    return json.dumps(
        {
            "name": new.model,
            "version": str(new.version),
            "folder": str(files),
            "manifest": str(files.with_suffix(".json")),
            "allow_pickle": new.model in settings.replica.allow_pickle,
        }
    )


def _environment(settings: AgentSettings, new: NewReplica) -> dict[str, str]:
    return {
        _MODEL: new.model,
        _VERSION: str(new.version),
        _INDEX: str(new.index),
        **settings.replica.environment,
    }


def replica_of(spec: ProcessSpec) -> NewReplica | None:
    """Which replica a supervised process is; None: it is none."""
    if not spec.name.startswith(PREFIX):
        return None
    try:
        return NewReplica(spec.env[_MODEL], int(spec.env[_VERSION]), int(spec.env[_INDEX]))
    except (KeyError, ValueError):
        return None


def port_count(settings: AgentSettings) -> int:
    """How many ports a replica has."""
    return 3 if settings.router.grpc else 2


def grpc_port(spec: ProcessSpec) -> int | None:
    """Where a replica answers over gRPC, if it does."""
    return spec.ports[1] if len(spec.ports) == 3 else None


def free_ports(taken: Set[int], count: int = 2) -> tuple[int, ...]:
    """Ports for a new replica.

    Args:
        taken: Ports of processes that may not be listening yet.
        count: How many it needs.
    """
    found: tuple[int, ...] = ()
    for _ in range(count):
        found += (any_free_port(taken | set(found)),)
    return found


def ask(spec: ProcessSpec, *, timeout: float = 1.0) -> Answer:
    """Whether a replica is ready; `silent`: it listens and does not answer in time, so it may be busy."""
    assert isinstance(spec.ready, HttpCheck)
    url = urlsplit(spec.ready.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
    try:
        connection.request("GET", url.path)
        return "ready" if connection.getresponse().status == spec.ready.status else "away"
    except TimeoutError:
        return "silent"
    except (OSError, http.client.HTTPException):
        return "away"
    finally:
        connection.close()


def refuses(log: str) -> bool:
    """Whether a replica has written that it can't load its model, so that another start is of no use."""
    return _REFUSAL in log


def telling_lines(log: str, count: int = 12) -> str:
    """The end of a replica's log without what it writes on every start and stop.

    >>> print(telling_lines("ValueError: no\\nINFO:     Shutting down\\n[modelyard] next start in 1 s"))
    ValueError: no
    """
    log = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", log)  # PostgreSQL, which gets to keep this, takes no NUL
    lines = [line for line in log.splitlines() if line.strip() and not _ROUTINE.search(line)]
    return "\n".join(lines[-count:] or log.splitlines()[-count:])
