"""Which API server to talk to, and as whom: from a kubeconfig, or from inside a pod."""

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.providers.kubernetes.errors import Unreachable, Unsupported

_POD_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Connection:
    """An API server, as a context of a kubeconfig names it.

    Attributes:
        described: The server and where it was found, for messages.
        namespace: The context's; empty if it has none.
    """

    server: str
    described: str
    namespace: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]


def connection(kubeconfig: str | None, context: str | None) -> Connection:
    """Find the API server.

    Args:
        kubeconfig: A file, or a file's contents; None: $KUBECONFIG, else ~/.kube/config, else the pod this runs in.
        context: None: the kubeconfig's current one.

    Raises:
        Unreachable: there is no such file or context, or what it says doesn't do.
        Unsupported: it asks for a way to log in that isn't written here.
    """
    if kubeconfig and ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")):
        return _from_document(_parsed(kubeconfig, "the kubeconfig"), "the kubeconfig", context, Path.cwd())
    if kubeconfig:
        files = [Path(kubeconfig).expanduser()]
    elif os.environ.get("KUBECONFIG"):
        files = [Path(name).expanduser() for name in os.environ["KUBECONFIG"].split(os.pathsep) if name]
    else:
        files = [Path.home() / ".kube" / "config"]
    found = next((file for file in files if file.is_file()), None)
    if found is not None:
        return _from_document(_parsed(found.read_text(), str(found)), str(found), context, found.parent)
    if not kubeconfig and not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ:
        return _of_pod()
    raise Unreachable(
        f"there is no kubeconfig {os.pathsep.join(map(str, files))}: set `kubernetes:kubeconfig` or $KUBECONFIG"
    )


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Unreachable(f"{where} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise Unreachable(f"{where} is not a kubeconfig: it has no clusters and contexts")
    return document


def _from_document(document: dict[str, Any], where: str, context: str | None, folder: Path) -> Connection:
    chosen = context or document.get("current-context") or ""
    if not chosen:
        raise Unreachable(f"{where} has no current context, and none was asked for: {_named(document, 'contexts')}")
    entry = _entry(document, "contexts", "context", chosen, where)
    cluster = _entry(document, "clusters", "cluster", entry.get("cluster", ""), where)
    user = _entry(document, "users", "user", entry["user"], where) if entry.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise Unsupported(f"the login by another program that user {entry['user']!r} of {where} asks for")
    headers = {}
    if token := user.get("token") or (user.get("tokenFile") and (folder / user["tokenFile"]).read_text().strip()):
        headers["Authorization"] = f"Bearer {token}"
    return Connection(
        server=cluster["server"].rstrip("/"),
        described=f"{cluster['server']} (context {chosen!r} of {where})",
        namespace=entry.get("namespace", ""),
        tls=_tls(cluster, user, where, folder),
        headers=headers,
    )


def _of_pod() -> Connection:
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    return Connection(
        server=server,
        described=f"{server} (the cluster this pod runs in)",
        namespace=(_POD_FOLDER / "namespace").read_text().strip(),
        tls=ssl.create_default_context(cafile=str(_POD_FOLDER / "ca.crt")),
        headers={"Authorization": f"Bearer {(_POD_FOLDER / 'token').read_text().strip()}"},
    )


def _entry(document: dict[str, Any], plural: str, singular: str, name: str, where: str) -> dict[str, Any]:
    for entry in document.get(plural) or []:
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(singular) or {}
            return found
    raise Unreachable(f"{where} has no {singular} {name!r}: {_named(document, plural)}")


def _named(document: dict[str, Any], plural: str) -> str:
    names: Sequence[str] = sorted(entry.get("name", "") for entry in document.get(plural) or [])
    return f"its {plural} are {', '.join(names)}" if names else f"it has no {plural}"


def _tls(cluster: dict[str, Any], user: dict[str, Any], where: str, folder: Path) -> ssl.SSLContext:
    """What certificates to ask for and to show."""
    try:
        authority = _pem(cluster, "certificate-authority", folder)
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = _pem(user, "client-certificate", folder), _pem(user, "client-key", folder)
        if certificate and key:
            with tempfile.NamedTemporaryFile() as pair:  # Python's ssl takes these from files only
                pair.write(certificate + b"\n" + key)
                pair.flush()
                context.load_cert_chain(pair.name)
    except (OSError, ValueError) as error:
        raise Unreachable(f"a certificate or key of {where} can't be used: {error}") from error
    return context


def _pem(entry: dict[str, Any], name: str, folder: Path) -> bytes | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    return (folder / entry[name]).read_bytes() if entry.get(name) else None
