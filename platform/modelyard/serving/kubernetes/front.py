"""What the agent answers itself: to clients whom no model server can answer, and to the cluster about its replicas."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from modelyard.serving import answers
from modelyard.serving.kubernetes import pods
from modelyard.serving.kubernetes.settings import METRICS
from modelyard.serving.pools import Pool
from modelyard.serving.routes import ModelRoute
from modelyard.serving.world import VersionKey

Document = dict[str, Any]
Answer = tuple[int, answers.Body]


@dataclass(frozen=True)
class Known:
    """What the agent knows of models, as of its last step.

    Attributes:
        models: Every deployed model, and how its requests are shared; None: not known yet.
    """

    models: tuple[ModelRoute, ...] | None = None

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """To a request that no route leads to a model server.

        Args:
            path: Without a query.
            headers: Names in lower case.
        """
        if path == "/v2/health/live":
            return 200, answers.LIVE
        if path == "/v2/health/ready":
            ready = self.models is not None and all(model.shares for model in self.models)
            return (200 if ready else 503), {"ready": ready}
        if path == "/v2":
            return 200, answers.SERVER
        return self._about_models(path, headers)

    def _about_models(self, path: str, headers: Mapping[str, str]) -> Answer:
        if not path.startswith(("/v2/models/", "/models/")) and path != "/invocations":
            return 404, answers.NOTHING_HERE
        if self.models is None:
            return 503, {"error": "the serving agent has just been started", "hint": "try again in a few seconds"}
        if not self.models:
            return 503, answers.NOTHING_DEPLOYED
        name = _named(path, headers)
        names = [model.model for model in self.models]
        if name is None:
            how = f"send the header {answers.MODEL_HEADER}, or POST to /models/NAME/invocations"
            return 400, answers.say_which(names, how)
        model = next((one for one in self.models if one.model == name), None)
        if model is None:
            return 404, answers.unknown(names)
        if model.shares:
            return 404, answers.not_this_version(name, [version for version, _ in model.shares])
        return 503, answers.unable(name, model.reason)


def targets(found: Iterable[Document], pools: Mapping[VersionKey, Pool], ports: Mapping[str, int]) -> list[Document]:
    """The replicas' metrics endpoints, for Prometheus: https://prometheus.io/docs/prometheus/latest/http_sd/

    Args:
        found: Pods of model servers.
        pools: The pool that a model's version is in; one that is in none is on its way out.
        ports: Of these pods.
    """
    listed = []
    for pod in sorted(found, key=lambda one: str(one["metadata"]["name"])):
        replica, address = pods.replica_of(pod), pods.address(pod)
        if address and not replica.removing:
            labels = {
                "model": replica.model,
                "version": str(replica.version),
                "pool": pools.get(replica.key, "retiring"),
                "replica": replica.name,
            }
            listed.append({"targets": [f"{address}:{ports[METRICS]}"], "labels": labels})
    return listed


def _named(path: str, headers: Mapping[str, str]) -> str | None:
    """The model that a request is about, if it says so."""
    for prefix in ("/v2/models/", "/models/"):
        if path.startswith(prefix):
            return unquote(path.removeprefix(prefix).partition("/")[0])
    return headers.get(answers.MODEL_HEADER)
