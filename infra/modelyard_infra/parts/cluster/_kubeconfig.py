"""Which cluster a kubeconfig leads to.

The format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import ModelyardError
from modelyard.kube import kubeconfig


@dataclass(frozen=True)
class Chosen:
    """One context of one file; both None inside of a pod, whose own account is used."""

    file: str | None
    context: str | None
    server: str | None


def choose(file: str | None, context: str | None, server: str | None) -> Chosen:
    """Find the context that is meant.

    Args:
        file: The kubeconfig; None: where kubectl looks.
        context: Its name; None: the current one.
        server: The address it has to lead to; None: any.

    Raises:
        ModelyardError: there is no such file or context, or it leads elsewhere.
    """
    path = Path(file).expanduser().absolute() if file else kubeconfig.default()
    if not path.is_file():
        if file is None and (kubeconfig.ACCOUNT / "token").is_file():
            return _own_account(context, server)
        raise ModelyardError(
            f"modelyard:cluster.kubeconfig: there is no {path}",
            fix="name the cluster's kubeconfig file, or set KUBECONFIG",
        )
    document = _read(path)
    contexts = {entry["name"]: entry["context"] for entry in document.get("contexts") or []}
    wanted = context or document.get("current-context")
    if wanted not in contexts:
        raise ModelyardError(
            f"modelyard:cluster.context: {path} has no context {wanted!r}",
            fix=f"its contexts are: {', '.join(sorted(contexts)) or 'none'}",
        )
    clusters = {entry["name"]: entry["cluster"] for entry in document.get("clusters") or []}
    found = clusters.get(contexts[wanted].get("cluster"), {}).get("server")
    if server is not None and found != server:
        raise ModelyardError(
            f"modelyard:cluster.server is {server!r}, but the context {wanted!r} of {path} leads to {found!r}",
            fix="choose the right context, or put the right server into the stack's file",
        )
    return Chosen(str(path), wanted, found)


def _own_account(context: str | None, server: str | None) -> Chosen:
    """The cluster of the pod that this runs in, unless another one is meant."""
    found = _own_server()
    if context is not None:
        raise ModelyardError(
            f"modelyard:cluster.context is {context!r}, and there is no kubeconfig that could have it: this runs in a "
            f"pod of the cluster at {found}",
            fix="set KUBECONFIG; or where this very cluster is meant, leave context out and set "
            f"modelyard:cluster.server to {found}",
        )
    if server != found:
        raise ModelyardError(
            f"modelyard:cluster.server is {server!r}, but this runs in a pod of the cluster at {found}",
            fix="set KUBECONFIG to a file that leads there, or put the right server into the stack's file",
        )
    return Chosen(None, None, found)


def _own_server() -> str:
    """The API server's address, as every pod's environment has it."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{what}", "") for what in ("HOST", "PORT"))
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ModelyardError(
            f"modelyard:cluster.kubeconfig: {path} can't be read: {error}", fix="name a kubeconfig file"
        ) from None
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise ModelyardError(f"modelyard:cluster.kubeconfig: {path} is no kubeconfig", fix="name a kubeconfig file")
    return document
