from copy import deepcopy

import pytest

from modelyard.serving.kubernetes import published
from modelyard.serving.kubernetes.documents import source_of, version_objects
from modelyard.serving.kubernetes.routes import routes
from modelyard.serving.pools import DesiredPool
from modelyard.serving.routes import ModelRoute
from modelyard.serving.world import Serving

MODELS = (ModelRoute("bike demand!", ((3, 80), (4, 20))), ModelRoute("model-v2", ((1, 100),)), ModelRoute("taxi", ()))


def found(models, settings):
    return {one["metadata"]["name"]: one for one in routes(models, settings)}


def pool(name, version, weight=100):
    return DesiredPool("bike", name, version, 2, weight, 1, "s")


def serving(shares, *desired, workloads=None):
    serves = published.serving([ModelRoute("bike", shares)], desired, workloads or {})
    return {name: one.version for (_, name), one in serves.items()}


def test_routes_say_what_was_published(settings):
    read = published.models(found(MODELS, settings))
    assert [(one.model, one.shares) for one in read] == [(one.model, one.shares) for one in MODELS]


def test_what_the_api_server_adds_changes_nothing(settings):
    routed = deepcopy(found(MODELS, settings))
    for route in routed.values():
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                backend |= {"group": "", "kind": "Service", "weight": backend.get("weight", 1)}
    assert published.models(routed) == published.models(found(MODELS, settings))


def test_where_nothing_was_published_nothing_is_known(settings):
    assert published.models({}) is None
    assert published.models(found((), settings)) == ()


@pytest.mark.parametrize(
    ("shares", "desired", "expected"),
    [
        (((1, 100),), [pool("stable", 2)], {"stable": 1}),
        (((1, 80), (2, 20)), [pool("stable", 1, 80), pool("canary", 2, 20)], {"stable": 1, "canary": 2}),
        (((1, 80), (2, 20)), [pool("stable", 3, 80), pool("canary", 2, 20)], {"stable": 1, "canary": 2}),
        (((1, 80), (2, 20)), [pool("stable", 2)], {"stable": 2}),
        (((1, 100),), [pool("stable", 1, 80), pool("canary", 2, 20)], {"stable": 1}),
        (((1, 100),), [], {}),
        ((), [pool("stable", 1)], {}),
    ],
)
def test_each_pool_goes_on_with_what_it_serves(shares, desired, expected):
    assert serving(shares, *desired) == expected


@pytest.mark.parametrize("runtime", [None, "modelyard"])
def test_a_workload_tells_its_replicas_and_where_its_files_are(settings, runtime):
    settings = settings.model_copy(update={"runtime": runtime})
    workload = version_objects(settings, ("bike", 1), "s3://here", replicas=3, running=None)[0]
    assert source_of(workload) == "s3://here"
    read = published.serving([ModelRoute("bike", ((1, 100),))], (pool("stable", 2),), {("bike", 1): workload})
    assert read == {("bike", "stable"): Serving(1, 3)}
