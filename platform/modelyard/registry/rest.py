"""Asking a tracking server over HTTP, and what its refusals mean for a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from modelyard.errors import AnswerIsNo, ModelyardError, Unreachable

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class TrackingApi:
    """The REST API of one tracking server.

    Args:
        url: Its address.
        username: For its basic auth, if it has that,
        password: and the password.
        timeout: Seconds without an answer until the server counts as unreachable.
    """

    def __init__(self, url: str, *, username: str | None, password: str | None, timeout: float) -> None:
        auth = httpx.BasicAuth(username, password or "") if username else None
        # No proxy from the environment: it must not see what goes to loopback, nor the password.
        self._http = httpx.Client(base_url=url.rstrip("/"), auth=auth, timeout=timeout, trust_env=False)
        self.url = url

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """The JSON answer to a GET.

        Raises:
            Unreachable: the server doesn't answer, or failed.
            AnswerIsNo: the server refused.
        """
        answer = self.find(path, query)
        if answer is None:
            raise AnswerIsNo(f"the tracking server at {self.url} has no {path} for {query}")
        return answer

    def find(self, path: str, query: dict[str, str] | None = None) -> Any | None:
        """Like `get`, but None if there is no such thing."""
        with self._answering():
            answer = self._http.get(path, params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        self._refuse(answer)
        return answer.json()

    def send(self, method: str, path: str, document: dict[str, Any]) -> Any:
        """The JSON answer to a request that changes something; None if there is none.

        Raises:
            Unreachable: the server doesn't answer, or failed.
            AnswerIsNo: the server refused.
        """
        with self._answering():
            answer = self._http.request(method, path, json=document)
        self._refuse(answer)
        return answer.json() if answer.content else None

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response | None]:
        """An answer that is read piece by piece; None if there is no such thing."""
        with self._answering(), self._http.stream("GET", path) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                yield None
            else:
                self._refuse(answer)
                yield answer

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(
                f"the tracking server at {self.url} does not answer: {str(error) or type(error).__name__}",
                fix="`modelyard status` shows what is down; `make up` mends it",
            ) from error

    def _refuse(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ModelyardError(
                f"the tracking server at {self.url} refused the credentials ({status})",
                fix="check the user name and password file that the platform's descriptor names",
            )
        said = answer.read().decode(errors="replace")[:300]
        if answer.is_server_error:
            raise Unreachable(f"the tracking server at {self.url} failed ({status}): {said}", fix="see its log")
        raise AnswerIsNo(f"the tracking server at {self.url} refused ({status}): {said}")
