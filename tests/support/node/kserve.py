"""KServe's controller in the node, with its webhooks: what makes Deployments of InferenceServices."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.clusters import Cluster
from tests.support.node import images
from tests.support.node.addons import account, binary, rule
from tests.support.node.certificates import Authority

NAMESPACE = "kserve"
NAME = "kserve-controller-manager"
SERVICE = "kserve-webhook-server-service"
CERTIFICATE = "kserve-webhook-server-cert"
ROUTES = {"enableGatewayApi": True, "kserveIngressGateway": f"{NAMESPACE}/none", "disableIngressCreation": True}
Document = dict[str, Any]


def missing() -> str | None:
    """Why it can't be here; None if it can."""
    if shutil.which("manager") is None or not definitions():
        return "KServe could not be had: `python3 tools/get.py --for-tests` says why"
    return None


def definitions() -> list[Path]:
    """Files of its custom resource definitions."""
    program = shutil.which("manager")
    return sorted((Path(program).parent.parent / "crds").glob("*.yaml")) if program else []


def install(node: Cluster) -> None:
    """Have it run."""
    files = [word for file in definitions() for word in ("-f", str(file))]
    applied = node.kubectl("apply", "--server-side", *files, "-o", "name").split()
    node.kubectl("wait", "--for=condition=Established", "--timeout=30s", *applied)
    image = images.push(node.registry, NAME, {"/bin/manager": binary("manager")}, ["/bin/manager"])
    folder = node.folder / "kserve"
    folder.mkdir()
    authority = Authority(folder, "authority")
    certificate = authority.issue("webhooks", common_name=SERVICE, hosts=[f"{SERVICE}.{NAMESPACE}.svc"])
    node.kubectl("apply", "--server-side", "-f", "-", document=_objects(image, certificate))
    node.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{NAME}", "--timeout=90s")
    node.kubectl("apply", "--server-side", "-f", "-", document=_webhooks(authority.certificate.read_text()))


def _own(file: str) -> list[Document]:
    """The documents of a file that came with it."""
    path = binary("manager").parent.parent / "config" / file
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _objects(image: str, certificate: Path) -> list[Document]:
    (config,), (role,) = _own("inferenceservice-config.yaml"), _own("role.yaml")
    del config["data"]["_example"]
    config["data"]["ingress"] = json.dumps(json.loads(config["data"]["ingress"]) | ROUTES)
    leader = [rule("coordination.k8s.io", ["leases"], ["*"]), rule("", ["events"], ["*"])]
    pair = {"tls.crt": certificate.read_text(), "tls.key": certificate.with_suffix(".key").read_text()}
    labels = {"app": NAME, "control-plane": NAME}
    container = {
        "name": "manager",
        "image": image,
        "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "securityContext": {"runAsUser": 65532},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1},
        "volumeMounts": [{"name": "certificate", "mountPath": "/tmp/k8s-webhook-server/serving-certs"}],
    }
    volumes = [{"name": "certificate", "secret": {"secretName": CERTIFICATE}}]
    pod = {
        "metadata": {"labels": labels},
        "spec": {"serviceAccountName": NAME, "containers": [container], "volumes": volumes},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"control-plane": NAME}}},
        *account(NAME, [*role["rules"], *leader], namespace=NAMESPACE),
        config,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CERTIFICATE, "namespace": NAMESPACE},
            "stringData": pair,
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 9443}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        },
    ]


def _webhooks(authority: str) -> list[Document]:
    """What its kustomization makes of the file: names filled in, and who signed the server's certificate."""
    bundle = base64.b64encode(authority.encode()).decode()
    documents = _own("webhooks.yaml")
    for document in documents:
        del document["metadata"]["creationTimestamp"]
        for webhook in document["webhooks"]:
            client = webhook["clientConfig"]
            client["caBundle"] = bundle
            client["service"] |= {"name": SERVICE, "namespace": NAMESPACE}
    return documents
