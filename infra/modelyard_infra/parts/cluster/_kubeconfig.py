"""Which cluster a kubeconfig leads to.

The format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import ModelyardError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


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
    path = Path(file).expanduser().absolute() if file else default()
    if not path.is_file():
        if file is None and (ACCOUNT / "token").is_file():
            return Chosen(None, None, server)
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


def default() -> Path:
    """Where kubectl looks."""
    return Path(os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0] or "~/.kube/config").expanduser()


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
