"""Runs that a client in a platform's namespace logs all the time, and what came of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster_platform import ClusterPlatform
from tests.support.cluster_pods import delete, finished, start_pod
from tests.support.node import ROOT
from tests.support.waiting import eventually

CLIENT = ROOT / "tests" / "cluster" / "client.py"
MOST_SECONDS = 600  # should nobody tell it to stop
PYTHON = "/opt/modelyard/bin/python"
STOP = "import os, signal; os.kill(1, signal.SIGTERM)"


class LoggedRuns:
    """What a client says, up to now or, once it has ended, in all.

    Args:
        platform: Where it is.
        name: Its pod's.
    """

    def __init__(self, platform: ClusterPlatform, name: str) -> None:
        self._platform, self.name = platform, name
        self._said: str | None = None

    @property
    def acknowledged(self) -> list[str]:
        """Ids of the runs that the server says it has."""
        return self._told("acknowledged ")

    @property
    def failed(self) -> list[str]:
        """What else the server answered, or that it didn't."""
        return self._told("failed ")

    def wait_for(self, more: int) -> None:
        """Go on until so many more are acknowledged."""
        target = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= target, seconds=120, what=f"{target} acknowledged runs")

    def wait_until_begun(self) -> None:
        eventually(
            lambda: "began" in self._lines(), seconds=120, what="the client's first answer", but=(AssertionError,)
        )

    def end(self) -> None:
        """Have it stop, and remember all that it said."""
        self._platform.kubectl("exec", self.name, "--", PYTHON, "-c", STOP)
        self._said = finished(self._platform, self.name, 60)

    def _told(self, what: str) -> list[str]:
        return [line.removeprefix(what) for line in self._lines() if line.startswith(what)]

    def _lines(self) -> list[str]:
        said = self._platform.kubectl("logs", self.name) if self._said is None else self._said
        return said.splitlines()


@contextmanager
def runs_logged(platform: ClusterPlatform, references: dict[str, str]) -> Iterator[LoggedRuns]:
    """Runs are logged from before the body begins until it has ended."""
    arguments = [str(MOST_SECONDS), "tracking-server"]
    name = start_pod(platform, references, CLIENT.read_text(), arguments, uses="tracking-server")
    try:
        runs = LoggedRuns(platform, name)
        runs.wait_until_begun()
        yield runs
        runs.end()
    finally:
        delete(platform, name)
