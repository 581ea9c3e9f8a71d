"""Steps of an agent in a cluster that answers at once, with a lease and a database that a test sets."""

import pytest

from modelyard.serving.kubernetes import controller as controllers
from modelyard.serving.kubernetes import store
from modelyard.serving.kubernetes.controller import STATE, Controller
from modelyard.serving.loop import Ended
from modelyard.serving.pools import DesiredPool
from modelyard.serving.telemetry import Telemetry
from tests.support.fake_kubernetes import FakeApi

ACTING = "modelyard_serving_agent_acting"


class Lease:
    is_held = True


class Database:
    def __init__(self, *_):
        self.desired, self.reachable, self.unwritten, self.history = (), True, (), []

    def record(self, entries):
        self.history += entries

    def observe(self, observed):
        self.observed = observed


class LookedAt:
    """What is watched, looked at whenever somebody wants to know."""

    def __init__(self, api, kind, _labels, _wake):
        self._api, self._kind = api, kind

    @property
    def found(self):
        return self._api.found(self._kind)


class Agent:
    def __init__(self, api, settings, lease=Lease):
        self.lease, self.telemetry = lease(), Telemetry()
        self.controller = Controller(settings, api, lambda _: self.lease, self.telemetry)
        self.database = self.controller.database

    def want(self, *versions):
        self.database.desired = tuple(
            DesiredPool("bike", "stable", version, 1, 100, version, f"s3://{version}") for version in versions
        )

    def step(self):
        return self.controller.step()

    def asked(self, path):
        return self.controller.known.answer(path, {})[0]

    @property
    def acting(self):
        return self.telemetry.registry.get_sample_value(ACTING)


@pytest.fixture
def api(monkeypatch, settings):
    monkeypatch.setattr(controllers, "Watched", LookedAt)
    monkeypatch.setattr(controllers, "DatabaseLink", Database)
    monkeypatch.setattr(store, "LOOK_SECONDS", 0)
    api = FakeApi()
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": settings.owner}})
    return api


@pytest.fixture
def agent(api, settings):
    agent = Agent(api, settings)
    agent.want(1)
    return agent


def start_pod(api, version, *, ready=True, ends=()):
    names = {"modelyard.dev/model": "bike", "modelyard.dev/version": str(version)}
    metadata = {"name": f"pod-{version}", "labels": names, "annotations": {"modelyard.dev/model": "bike"}}
    status = {"conditions": [{"type": "Ready", "status": str(ready)}], "containerStatuses": list(ends)}
    api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})


def refuse(api, version):
    end = {"name": "server", "restartCount": 1, "lastState": {"terminated": {"exitCode": 3, "message": "no"}}}
    start_pod(api, version, ready=False, ends=[end])


def serve(agent, api, version):
    """As far as a version that answers."""
    agent.want(version)
    agent.step()
    start_pod(api, version)
    agent.step()


def routed(api):
    """The versions that the model's route leads to."""
    rules = api.objects["HTTPRoute", "model-bike"]["spec"]["rules"]
    return {backend["name"] for rule in rules for backend in rule["backendRefs"]} - {"serving-agent"}


def test_what_is_wanted_is_made_and_gets_requests_when_it_is_ready(agent, api):
    agent.step()
    assert ("Deployment", "model-bike-v1") in api.objects
    assert routed(api) == set()
    start_pod(api, 1)
    agent.step()
    assert routed(api) == {"model-bike-v1"}
    assert agent.acting == 1


def test_who_loses_the_lease_ends(agent):
    agent.step()
    agent.lease.is_held = False
    with pytest.raises(Ended, match="another agent may hold the lease"):
        agent.step()


def test_who_loses_the_lease_in_the_middle_of_a_step_writes_nothing_more(agent, api, monkeypatch):
    serve(agent, api, 1)
    agent.want(2)
    write = api.write

    def frozen(document):
        agent.lease.is_held = False
        return write(document)

    monkeypatch.setattr(api, "write", frozen)
    with pytest.raises(Ended, match="in the middle of a step"):
        agent.step()
    assert ("Deployment", "model-bike-v2") not in api.objects


def test_who_finds_that_another_agent_has_acted_ends(agent, api):
    agent.step()
    api.write(api.get("ConfigMap", STATE))
    start_pod(api, 1)
    with pytest.raises(Ended, match="another agent has acted"):
        agent.step()


def test_a_lost_memory_is_written_anew(agent, api):
    serve(agent, api, 1)
    del api.objects["ConfigMap", STATE]
    agent.step()
    assert ("ConfigMap", STATE) in api.objects


def test_a_good_version_stays_when_the_memory_is_lost_and_the_agent_is_another(agent, api, settings):
    serve(agent, api, 1)
    agent.want(2)
    agent.step()
    refuse(api, 2)
    agent.step()
    assert agent.database.observed[0].state == "failed"
    del api.objects["ConfigMap", STATE]
    another = Agent(api, settings)
    another.want(2)
    another.controller._limits = type(another.controller._limits)(ready=600, settle=0)
    for _ in range(3):
        another.step()
    assert routed(api) == {"model-bike-v1"}
    assert ("Deployment", "model-bike-v1") in api.objects
    assert another.database.observed[0].version == 1


def test_an_agent_that_waits_answers_as_the_one_that_acts(agent, api, settings):
    serve(agent, api, 1)
    standby = Agent(api, settings)
    standby.want(1)
    standby.lease.is_held = False
    standby.step()
    for path in ("/v2/health/ready", "/v2/models/bike/versions/9", "/v2/models/bus"):
        assert standby.asked(path) == agent.asked(path), path
    assert standby.asked("/v2/health/ready") == 200
    assert standby.acting == 0


def test_an_agent_that_waits_writes_nothing(agent, api):
    agent.lease.is_held = False
    before = dict(api.objects)
    agent.step()
    assert api.objects == before
    assert agent.asked("/v2/models/bike") == 503


def test_before_it_knows_what_is_wanted_nothing_is_touched(agent, api):
    agent.database.desired = None
    before = dict(api.objects)
    agent.step()
    assert api.objects == before
    assert agent.acting == 0
