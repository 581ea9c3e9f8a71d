"""What a platform's alerts are sent to: a pod in a namespace of its own that prints what is posted to it."""

from typing import Any

from tests.support.clusters import Cluster

NAME = "receiver"  # of the namespace, the pod and its Service
PORT = 8099
URL = f"http://{NAME}.{NAME}.svc:{PORT}/"
LISTEN = f"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", {PORT}), Handler).serve_forever()
"""


def start(cluster: Cluster, image: str) -> None:
    """Have it running.

    Args:
        image: One with Python.
    """
    container = {"name": NAME, "image": image, "command": ["/opt/modelyard/bin/python", "-c", LISTEN]}
    spec = {"selector": {"app": NAME}, "ports": [{"port": PORT}]}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": _named(), "spec": {"containers": [container]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": _named(), "spec": spec},
    ]
    cluster.kubectl("apply", "-f", "-", document=documents)
    cluster.kubectl("-n", NAME, "wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=60s")


def posted(cluster: Cluster) -> list[str]:
    """What was posted to it, in order."""
    lines = cluster.kubectl("-n", NAME, "logs", f"pod/{NAME}").splitlines()
    return [line for line in lines if line]


def _named() -> dict[str, Any]:
    return {"name": NAME, "namespace": NAME, "labels": {"app": NAME}}
