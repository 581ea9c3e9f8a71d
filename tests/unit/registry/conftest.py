import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from modelyard.registry.mlflow import MlflowRegistry

ML_MODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.skops\n"


class TrackingServer:
    """A stand-in for a tracking server: its models, aliases and artifacts are attributes.

    Attributes:
        models: Name → version → source.
        artifacts: Path → content.
        lengths: Path → what to say its length is, where that is not true.
    """

    def __init__(self):
        self.models = {}
        self.aliases = {}
        self.artifacts = {}
        self.lengths = {}
        self.entries = {}
        self.status = 200
        self.credentials = None
        tracking = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                tracking.credentials = self.headers.get("authorization")
                status, body = tracking.answer(self.path)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def register(self, name, version, files):
        """Add a version with its files, as MLflow does since version 3."""
        folder = f"1/models/m-{version:032x}/artifacts"
        self.models.setdefault(name, {})[version] = f"mlflow-artifacts:/{folder}"
        self.artifacts |= {f"{folder}/{path}": content for path, content in files.items()}

    def answer(self, address):
        if self.status != 200:
            return self.status, {"message": "told to"}
        url = urlsplit(address)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        if path.startswith("/api/2.0/mlflow-artifacts/artifacts"):
            return self._artifact(path.removeprefix("/api/2.0/mlflow-artifacts/artifacts").strip("/"), query)
        return self._registry(path.removeprefix("/api/2.0/mlflow/"), query)

    def _registry(self, path, query):
        versions = self.models.get(query.get("name", ""), {})
        missing = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        if path == "registered-models/get":
            if query["name"] not in self.models:
                return missing
            aliases = [{"alias": k, "version": str(v)} for k, v in self.aliases.get(query["name"], {}).items()]
            return 200, {"registered_model": {"name": query["name"], "aliases": aliases}}
        if path == "registered-models/search":
            return 200, {"registered_models": [{"name": name} for name in self.models]}
        if path == "model-versions/search":
            name = query["filter"].removeprefix("name=")[1:-1]
            newest = sorted(self.models[name], reverse=True)[: int(query["max_results"])]
            return 200, {"model_versions": [{"version": str(version)} for version in newest]}
        if path == "model-versions/get":
            return (200, {}) if int(query["version"]) in versions else missing
        if path == "model-versions/get-download-uri":
            return 200, {"artifact_uri": versions[int(query["version"])]}
        if path.startswith("logged-models/"):
            return 200, {"model": {"info": {"artifact_uri": f"mlflow-artifacts:/1/{path}/artifacts"}}}
        if path == "runs/get":
            return 200, {"run": {"info": {"artifact_uri": f"mlflow-artifacts:/1/{query['run_id']}/artifacts"}}}
        return missing

    def _artifact(self, path, query):
        if path:
            return (200, self.artifacts[path]) if path in self.artifacts else (404, {})
        folder = query["path"] + "/"
        inside = {name.removeprefix(folder) for name in self.artifacts if name.startswith(folder)}
        entries = [self._entry(folder, name) for name in sorted(inside)]
        unique = list({entry["path"]: entry for entry in entries}.values())
        return 200, {"files": self.entries.get(query["path"], unique)}

    def _entry(self, folder, name):
        if "/" in name:
            return {"path": name.split("/")[0], "is_dir": True}
        length = self.lengths.get(name, len(self.artifacts[folder + name]))
        return {"path": name, "is_dir": False, "file_size": length}


@pytest.fixture
def tracking():
    server = TrackingServer()
    files = {"MLmodel": ML_MODEL.encode(), "model.skops": b"weights", "code/features.py": b"x = 1\n"}
    for version in (1, 2, 3):
        server.register("bike-demand", version, files)
    server.aliases["bike-demand"] = {"champion": 2}
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def registry(tracking):
    with MlflowRegistry(tracking.url) as registry:
        yield registry
