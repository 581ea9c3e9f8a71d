"""Talks to the API server: where kinds live, apply, read, delete; calm while it restarts."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.providers.kubernetes.errors import Cancelled, Cause, Refused, UnknownKind, Unreachable
from tests.support.providers.kubernetes.kubeconfig import Connection

_PASSING = frozenset({429, 502, 503, 504})
_LONGEST_OUTAGE = 60.0  # seconds; a restart of the API server takes less
_FIRST_ANSWER = 3.0  # seconds; a server that has never answered is more likely not there

Object = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where an object lives.

    Attributes:
        namespace: Empty where the kind knows none.
        path: The address's path.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    path: str

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class _Kind:
    plural: str
    namespaced: bool


class ApiClient:
    """One API server. Every method may be called by many threads, and stops when ``cancelled`` is set.

    All of them raise Unreachable, Refused or Cancelled.
    """

    def __init__(self, connection: Connection, cancelled: threading.Event) -> None:
        self._connection = connection
        self._cancelled = cancelled
        self._answered = False
        self._kinds: dict[str, dict[str, _Kind]] = {}
        self._http = httpx.Client(
            base_url=connection.server,
            verify=connection.tls,
            headers=dict(connection.headers),
            timeout=httpx.Timeout(40, connect=5),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    @property
    def default_namespace(self) -> str:
        return self._connection.namespace or "default"

    def place(self, api_version: str, kind: str, namespace: str, name: str) -> Place:
        """Where an object of a kind lives; kinds without namespaces drop the given one.

        Raises:
            UnknownKind: the API server has no such kind.
        """
        found = self._kinds.get(api_version, {}).get(kind)
        if found is None:  # perhaps it came since
            self._kinds[api_version] = self._discover(api_version)
            found = self._kinds[api_version].get(kind)
        if found is None:
            raise UnknownKind(api_version, kind)
        where = (namespace or self.default_namespace) if found.namespaced else ""
        middle = f"/namespaces/{where}" if where else ""
        return Place(api_version, kind, where, name, f"{_root(api_version)}{middle}/{found.plural}/{name}")

    def get(self, place: Place) -> Object | None:
        """The object, None if there is none."""
        try:
            return self._request("GET", place.path)
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def apply(
        self, place: Place, wanted: Object, *, manager: str, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Apply on the server's side, creating the object if there is none.

        Args:
            manager: Who owns the fields from then on.
            dry_run: Only say what would come of it.
            force: Take over fields that others own.
        """
        parameters = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            parameters["dryRun"] = "All"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return self._request("PATCH", place.path, params=parameters, headers=headers, json=wanted)

    def delete(self, place: Place, propagation: str) -> bool:
        """Ask for its deletion, with Foreground, Background or Orphan propagation; False if there is none."""
        try:
            self._request("DELETE", place.path, json={"propagationPolicy": propagation})
        except Refused as error:
            if error.code == 404:
                return False
            raise
        return True

    def list(self, api_version: str, kind: str, namespace: str, **parameters: str) -> list[Object]:
        """Objects of a kind in a namespace; ``labelSelector`` and ``fieldSelector`` narrow it down."""
        path = self.place(api_version, kind, namespace, "").path.rstrip("/")
        found: list[Object] = self._request("GET", path, params=parameters).get("items", [])
        return found

    def log(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """The last lines that a container wrote; empty if they can't be had."""
        parameters = {"container": container, "tailLines": str(lines)}
        try:
            return self._answer("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", params=parameters).text
        except Refused:
            return ""

    def _discover(self, api_version: str) -> dict[str, _Kind]:
        try:
            resources = self._request("GET", _root(api_version)).get("resources", [])
        except Refused as error:
            if error.code == 404:
                return {}
            raise
        return {one["kind"]: _Kind(one["name"], one["namespaced"]) for one in resources if "/" not in one["name"]}

    def _request(self, method: str, path: str, **arguments: Any) -> Object:
        body: Object = self._answer(method, path, **arguments).json()
        return body

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask until there is an answer: all that is asked here may be asked twice.

        Raises:
            Refused: the answer is an error.
        """
        start, pause = time.monotonic(), 0.1
        while True:
            patience = _LONGEST_OUTAGE if self._answered else _FIRST_ANSWER
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                if time.monotonic() - start > patience:
                    raise self._unreachable(error, patience) from error
            else:
                self._answered = True
                if not _passes(response) or time.monotonic() - start > _LONGEST_OUTAGE:
                    break
            if self._cancelled.wait(pause):
                raise Cancelled("cancelled while the API server did not answer")
            pause = min(pause * 2, 2)
        if response.is_error:
            raise _refusal(response)
        return response

    def _unreachable(self, error: Exception, seconds: float) -> Unreachable:
        return Unreachable(
            f"the Kubernetes API server {self._connection.described} can't be reached, tried for {seconds:g} s: "
            f"{error or type(error).__name__}. Is the cluster up, is this its address, may this machine connect to it?"
        )


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _passes(response: httpx.Response) -> bool:
    """Whether it is the answer of a server that starts, stops, or has too much to do."""
    return response.status_code in _PASSING or (response.status_code == 500 and "etcdserver" in response.text)


def _refusal(response: httpx.Response) -> Refused:
    try:
        status = response.json()
    except ValueError:
        return Refused(response.status_code, "", f"HTTP {response.status_code}: {response.text.strip()[:300]}")
    causes = [
        Cause(cause.get("reason", ""), cause.get("field", ""), cause.get("message", ""))
        for cause in (status.get("details") or {}).get("causes") or []
    ]
    return Refused(response.status_code, status.get("reason", ""), status.get("message", ""), tuple(causes))
