"""An OpenID Connect provider in the node, whose certificate the gateway's routers trust."""

import json
import secrets
from pathlib import Path
from typing import Any

from tests.support.clusters import Cluster
from tests.support.credentials import Issuer
from tests.support.node.certificates import Authority

NAMESPACE, NAME = "identity", "login"
HOST = f"{NAME}.{NAMESPACE}.svc.cluster.local"
CLIENT, AUDIENCE, USER = "mlflow-at-the-gateway", "mlflow", "ada@example.com"
PLACE = "/provider"


class Provider:
    """What signs people in.

    Args:
        folder: Gets its certificate and keys.

    Attributes:
        authority: The certificate (PEM) that its own is to be checked against.
        secret: What the gateway is known by.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = Authority(folder, "trusted")
        self.authority = authority.certificate
        self.secret = secrets.token_urlsafe()
        self._issuer = Issuer(f"https://{HOST}")
        self._certificate = authority.issue("login", common_name=HOST, hosts=[HOST])
        self._keys = folder / "jwks.json"
        self._keys.write_text(self._issuer.jwks())

    @property
    def edge(self) -> dict[str, object]:
        """What an edge is told of it; its discovery document is nobody's business here."""
        endpoints = {f"{name}_endpoint": f"https://{HOST}/{path}" for name, path in _ENDPOINTS.items()}
        return {"issuer": self._issuer.name, "client_id": CLIENT, "client_secret": "oidc", **endpoints}

    @property
    def jwt(self) -> dict[str, object]:
        """What a tracking server is told of it."""
        return {"issuer": self._issuer.name, "audiences": [AUDIENCE], "jwks_file": str(self._keys)}

    def start(self, node: Cluster, image: str) -> None:
        """Have it running.

        Args:
            image: One with Python and PyJWT.
        """
        settings = {
            "issuer": self._issuer.name,
            "audience": AUDIENCE,
            "client_id": CLIENT,
            "client_secret": self.secret,
            "user": USER,
        }
        files = {
            "settings.json": json.dumps(settings),
            "signing.pem": self._issuer.private_key(),
            "tls.crt": self._certificate.read_text(),
            "tls.key": self._certificate.with_suffix(".key").read_text(),
            "provider.py": Path(__file__).with_name("identity_provider.py").read_text(),
        }
        node.kubectl("apply", "--server-side", "-f", "-", document=_objects(files, image))
        node.kubectl("-n", NAMESPACE, "wait", f"deployment/{NAME}", "--for=condition=Available", "--timeout=60s")


_ENDPOINTS = {"authorization": "authorize", "token": "token"}


def _objects(files: dict[str, str], image: str) -> list[dict[str, Any]]:
    metadata = {"name": NAME, "namespace": NAMESPACE}
    container = {
        "name": NAME,
        "image": image,
        "command": ["/opt/modelyard/bin/python", f"{PLACE}/provider.py", PLACE],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        "volumeMounts": [{"name": "files", "mountPath": PLACE, "readOnly": True}],
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "files", "secret": {"secretName": NAME}}],
    }
    selector = {"app": NAME}
    template = {"metadata": {"labels": selector}, "spec": pod}
    ports = [{"port": 443, "targetPort": 8443}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": selector}, "template": template},
        },
    ]
