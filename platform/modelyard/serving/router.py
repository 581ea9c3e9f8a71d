"""Telling Envoy: files replaced by renaming, in an order in which no request can get lost."""

import http.client
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from modelyard.errors import ModelyardError
from modelyard.processes.files import write_private
from modelyard.serving import access
from modelyard.serving.clusters import (
    VersionEndpoints,
    clusters,
    endpoints,
    endpoints_file,
    grpc_endpoints,
    grpc_endpoints_file,
)
from modelyard.serving.documents import Document
from modelyard.serving.envoy import CLUSTERS_FILE, ENDPOINTS_FOLDER, ROUTE_CONFIG, ROUTES_FILE
from modelyard.serving.routes import ModelRoute, routes
from modelyard.serving.settings import RouterSettings

log = logging.getLogger(__name__)
ACCEPT_SECONDS = 3.0
_POLL_SECONDS = 0.01


class Router:
    """The Envoy that reads `settings.folder`, running or not.

    Args:
        settings: As given to `envoy.bootstrap`.
    """

    def __init__(self, settings: RouterSettings) -> None:
        self._settings = settings
        self._complaints: list[str] = []

    def publish(self, versions: Sequence[VersionEndpoints], models: Sequence[ModelRoute]) -> None:
        """Make Envoy use these; returns when it does, or at once if it isn't running.

        Clusters and endpoints go first: routes may only name what Envoy already has.

        Raises:
            ModelyardError: Envoy runs and did not accept them in time.
        """
        self._publish_access()
        expected = {}
        for version in versions:
            document = endpoints(version)
            self._write(endpoints_file(version.model, version.version), document)
            expected[f"cluster.{version.cluster}.version_text"] = document["version_info"]
            if self._settings.grpc:
                document = grpc_endpoints(version)
                self._write(grpc_endpoints_file(version.model, version.version), document)
                expected[f"cluster.{version.grpc_cluster}.version_text"] = document["version_info"]
        document = clusters(versions, self._settings)
        self._write(CLUSTERS_FILE, document)
        expected["cluster_manager.cds.version_text"] = document["version_info"]
        self._await(expected)
        document = routes(models, self._settings)
        self._write(ROUTES_FILE, document)
        self._await({f"http.predictions.rds.{ROUTE_CONFIG}.version_text": document["version_info"]})
        self._delete_unused(versions)

    def publish_if_new(self) -> None:
        """Make the files that Envoy can't start without, if there are none."""
        self._publish_access()
        if not (self._settings.folder / ROUTES_FILE).exists():
            self.publish((), ())

    def _publish_access(self) -> None:
        """Keys and certificate; Envoy takes new ones when it sees them, and no request waits for that.

        Raises:
            ModelyardError: there is nothing yet that Envoy could start with.
        """
        complaints: list[str] = []
        for name, document in access.files(self._settings, complaints.append).items():
            if document is None:
                (self._settings.folder / name).unlink(missing_ok=True)
            else:
                self._write(name, document)
        if missing := [n for n in access.file_names(self._settings) if not (self._settings.folder / n).exists()]:
            raise ModelyardError(f"Envoy can't start without {', '.join(missing)}: {'; '.join(complaints)}")
        for complaint in complaints:
            if complaint not in self._complaints:  # it is looked at every second, and said once
                log.error("%s", complaint)
        self._complaints = complaints

    def active_requests(self) -> Counter[int] | None:
        """Requests in progress by replica's port; None: Envoy doesn't answer."""
        text = self._ask("/clusters")
        if text is None:
            return None
        active: Counter[int] = Counter()
        for line in text.splitlines():
            match line.split("::"):
                case [_, address, "rq_active", count]:
                    active[int(address.rpartition(":")[2])] += int(count)
        return active

    def _write(self, name: str, document: Document) -> None:
        """Spare the disk where nothing changed; whether Envoy has it is another question."""
        path = self._settings.folder / name
        content = json.dumps(document)
        try:
            unchanged = path.read_text() == content
        except OSError:
            unchanged = False
        if not unchanged:
            write_private(path, content)

    def _await(self, expected: Mapping[str, str]) -> None:
        deadline = time.monotonic() + ACCEPT_SECONDS
        while expected:
            text = self._ask("/stats?filter=version_text&format=json")
            if text is None:
                return
            live = {stat["name"]: stat["value"] for stat in json.loads(text)["stats"] if "name" in stat}
            missing = [name for name, version in expected.items() if live.get(name) != version]
            if not missing:
                return
            if time.monotonic() > deadline:
                raise ModelyardError(
                    f"Envoy did not accept its configuration within {ACCEPT_SECONDS:g} s: {', '.join(missing)}",
                    fix="its log says why: `modelyard logs envoy`",
                )
            time.sleep(_POLL_SECONDS)

    def _delete_unused(self, versions: Sequence[VersionEndpoints]) -> None:
        used = {self._settings.folder / endpoints_file(version.model, version.version) for version in versions}
        if self._settings.grpc:
            used |= {self._settings.folder / grpc_endpoints_file(one.model, one.version) for one in versions}
        for path in (self._settings.folder / ENDPOINTS_FOLDER).glob("*.json"):
            if path not in used:
                path.unlink(missing_ok=True)

    def _ask(self, path: str) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._settings.admin_port, timeout=1)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
