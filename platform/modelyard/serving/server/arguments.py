"""The command line of `python -m modelyard.serving.server`."""

import argparse
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.serving.server.settings import MIB, TOKEN, Limits, ModelSettings, ServerSettings


@dataclass(frozen=True)
class Inherited:
    """File descriptors of the sockets that a worker gets from its parent."""

    main: int
    management: int


def parse(arguments: Sequence[str]) -> tuple[ServerSettings, Inherited | None]:
    """Settings from a command line; ends the process with a message if it is wrong.

    Args:
        arguments: Without the program's name.

    Returns:
        The settings, and the sockets if this is a worker.
    """
    limits, defaults = Limits(), ServerSettings(models=())
    parser = argparse.ArgumentParser(prog="python -m modelyard.serving.server", allow_abbrev=False)
    add = parser.add_argument
    add("--model", action="append", required=True, metavar="NAME[@VERSION]=FOLDER", help="a model; can be repeated")
    add("--manifest", action="append", default=[], metavar="NAME=FILE", help="digests that its files must have")
    add("--allow-pickle", action="append", default=[], metavar="NAME", help="unpickle this model: it can run any code")
    add("--host", default=defaults.host)
    add("--port", type=int, default=defaults.port)
    add("--management-port", type=int, help="metrics and the model repository")
    add("--grpc-port", type=int)
    add("--workers", type=int, default=1, help="processes that share the port")
    add("--drain-seconds", type=float, default=defaults.drain_seconds)
    add("--proofs", type=Path, default=defaults.proofs, help="where it is remembered how a model may be asked")
    add(
        "--payload-log",
        metavar="JSON",
        help="what is recorded, and where to (PayloadSettings)",
    )
    add("--max-request-mib", type=int, default=limits.request_bytes // MIB)
    add("--max-waiting-requests", type=int, default=limits.waiting_requests)
    add("--max-batch-rows", type=int, default=limits.batch_rows)
    add("--max-memory-mib", type=int)
    add("--predict-seconds", type=float, default=limits.predict_seconds)
    add("--receive-seconds", type=float, default=limits.receive_seconds)
    add("--max-connections", type=int, default=limits.connections)
    add("--listen-fd", type=int, help=argparse.SUPPRESS)  # a worker gets its sockets from its parent
    add("--management-fd", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    manifests = dict(_pair(parser, one, "--manifest") for one in given.manifest)
    models = tuple(_model(parser, one, manifests, given.allow_pickle) for one in given.model)
    if not _is_private(given.host):
        parser.error(
            f"--host {given.host}: a model server asks nobody who they are, so it listens on loopback, or in a pod on "
            "the address in MODELYARD_POD_IP; put the router in front of it, which has TLS and keys"
        )
    inherited = Inherited(given.listen_fd, given.management_fd) if given.listen_fd is not None else None
    settings = ServerSettings(
        models=models,
        host=given.host,
        port=given.port,
        management_port=given.management_port,
        grpc_port=given.grpc_port,
        workers=given.workers,
        drain_seconds=given.drain_seconds,
        proofs=given.proofs,
        limits=Limits(
            request_bytes=given.max_request_mib * MIB,
            waiting_requests=given.max_waiting_requests,
            batch_rows=given.max_batch_rows,
            predict_seconds=given.predict_seconds,
            receive_seconds=given.receive_seconds,
            connections=given.max_connections,
            memory_bytes=given.max_memory_mib * MIB if given.max_memory_mib else None,
        ),
        payload_log=given.payload_log,
        token=os.environ.get(TOKEN) or None,
    )
    return settings, inherited


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback or host == os.environ.get("MODELYARD_POD_IP")
    except ValueError:
        return host == "localhost"


def _pair(parser: argparse.ArgumentParser, text: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        parser.error(f"{option} {text!r}: it has to be NAME=PATH")
    return name, value


def _model(parser: argparse.ArgumentParser, text: str, manifests: dict[str, str], pickles: list[str]) -> ModelSettings:
    """`NAME=FOLDER`, `NAME@VERSION=FOLDER`, or JSON, which can hold any name."""
    if text.startswith("{"):
        try:
            one = json.loads(text)
            manifest = Path(one["manifest"]) if one.get("manifest") else None
            return ModelSettings(
                one["name"], one["version"], Path(one["folder"]), manifest, one.get("allow_pickle") is True
            )
        except (ValueError, KeyError, TypeError) as error:
            parser.error(f"--model {text!r}: {error!r}")
    named, folder = _pair(parser, text, "--model")
    name, _, version = named.rpartition("@") if "@" in named else (named, "", "1")
    digests = manifests.get(name)
    return ModelSettings(name, version, Path(folder), Path(digests) if digests else None, name in pickles)
