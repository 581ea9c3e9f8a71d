"""Whatever is asked for and in whatever order: a small world in which replicas come up, crash and refuse to load."""

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.serving.decisions import HOPELESS_STARTS
from modelyard.serving.plan import plan
from modelyard.serving.pools import DesiredPool
from modelyard.serving.world import Files, Limits, Memory, Plan, Replica, World

LIMITS = Limits(ready=120, drain=5, settle=1)
BROKEN_VERSION = 3
STEPS_TO_SETTLE = 60

deploys = st.tuples(st.just("deploy"), st.integers(1, 4), st.integers(1, 3))
canaries = st.tuples(st.just("canary"), st.integers(1, 4), st.integers(0, 100))
weights = st.tuples(st.just("weight"), st.integers(0, 100), st.just(0))
promotions = st.tuples(st.just("promote"), st.just(0), st.just(0))
pauses = st.tuples(st.just("pause"), st.integers(1, 12), st.just(0))
gentle_events = st.lists(st.one_of(deploys, canaries, weights, promotions, pauses), min_size=1, max_size=12)
crashes = st.tuples(st.just("crash"), st.integers(0, 9), st.just(0))
restarts = st.tuples(st.just("restart"), st.just(0), st.just(0))
undeploys = st.tuples(st.just("undeploy"), st.just(0), st.just(0))
rough_events = st.lists(
    st.one_of(deploys, canaries, weights, promotions, pauses, crashes, restarts, undeploys), min_size=1, max_size=15
)


@dataclass
class Machine:
    """Replicas need three steps to load; those of the broken version exit instead."""

    desired: dict[str, DesiredPool] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    files: dict[tuple[str, int], Files] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    now: float = 0.0
    generation: int = 0
    published: Plan | None = None

    def happen(self, event):
        kind, number, other = event
        self.generation += 1
        pools = self.desired
        if kind == "deploy":
            weight = pools["stable"].weight if "stable" in pools else 100
            pools["stable"] = DesiredPool("bike", "stable", number, other, weight, self.generation)
        elif kind == "canary" and "stable" in pools:
            pools["canary"] = DesiredPool("bike", "canary", number, 1, other, self.generation)
            pools["stable"] = replace(pools["stable"], weight=100 - other)
        elif kind == "weight" and "canary" in pools:
            pools["canary"] = replace(pools["canary"], weight=number)
            pools["stable"] = replace(pools["stable"], weight=100 - number)
        elif kind == "promote" and "canary" in pools:
            version = pools.pop("canary").version
            pools["stable"] = replace(pools["stable"], version=version, weight=100, generation=self.generation)
        elif kind == "undeploy":
            pools.clear()
        elif kind == "crash" and self.replicas:
            name = sorted(self.replicas)[number % len(self.replicas)]
            starts = min(self.replicas[name].starts + 1, HOPELESS_STARTS - 1)  # one more would be a failure
            self.replicas[name] = replace(self.replicas[name], ready=False, starts=starts)
        elif kind == "restart":  # of the agent: only what is on disk is left
            self.memory = replace(self.memory, draining={})
            self.files = {}
        for _ in range(number if kind == "pause" else 1):
            self.step()

    def step(self):
        self.now += 1
        self.replicas = {name: self._grown(one) for name, one in self.replicas.items()}
        there = tuple(replace(one, active=0) for one in self.replicas.values())
        decided = plan(World(tuple(self.desired.values()), there, dict(self.files), self.memory), self.now, LIMITS)
        self._check(decided)
        for key in decided.fetch:
            self.files[key] = Files("here")
        for name in decided.remove:
            del self.replicas[name]
        for new in decided.start:
            name = f"v{new.version}-{new.index}"
            assert name not in self.replicas, "started twice"
            port = 100 * new.version + new.index
            self.replicas[name] = Replica(name, new.model, new.version, new.index, port, since=self.now)
        self.memory = decided.memory
        self.published = decided
        return decided

    def _grown(self, one):
        if one.version == BROKEN_VERSION:
            return replace(one, starts=min(one.starts + 1, HOPELESS_STARTS))
        return replace(one, ready=True) if self.now - one.since >= 3 else one

    def _check(self, decided):
        """What must hold in every step."""
        before = healthy(self.published) if self.published else set()
        routed = {(route.model, version) for route in decided.routes for version, _ in route.shares}
        answering = healthy(decided)
        ready = {one.port for one in self.replicas.values() if one.ready}
        for name in decided.remove:
            assert self.replicas[name].port not in before & ready, "removed a replica that requests went to"
        for key in routed:
            assert any(where == key for where, _ in answering_pairs(decided)), "routed to a version without endpoints"
        if self.published:
            was_routed = {(route.model, version) for route in self.published.routes for version, _ in route.shares}
            for key, port in answering_pairs(self.published):
                drained_at_once = key in was_routed and port in ready and port not in answering
                others = [one for where, one in answering_pairs(decided) if where == key]
                assert not (drained_at_once and not others), (
                    "drained the last endpoint of a version still in the routes"
                )


def answering_pairs(decided):
    return [
        ((version.model, version.version), endpoint.port)
        for version in decided.versions
        for endpoint in version.endpoints
        if not endpoint.draining
    ]


def healthy(decided):
    return {port for _, port in answering_pairs(decided)}


@given(gentle_events)
@settings(max_examples=300, deadline=None)
def test_a_model_whose_stable_version_answers_goes_on_answering_whatever_is_deployed(events):
    machine = Machine()
    for event in events:
        had_stable = ("bike", "stable") in machine.memory.serving
        machine.happen(event)
        assert not had_stable or any(route.shares for route in machine.published.routes)


@given(rough_events)
@settings(max_examples=300, deadline=None)
def test_it_settles_on_what_is_wanted_and_then_does_nothing(events):
    machine = Machine()
    for event in events:
        machine.happen(event)
    for _ in range(STEPS_TO_SETTLE):
        machine.step()
    decided = machine.step()
    assert (decided.fetch, decided.start, decided.remove) == ((), (), ())
    assert decided.memory.draining == {}
    for pool, seen in zip(machine.desired.values(), decided.observed, strict=True):
        if pool.version == BROKEN_VERSION:
            assert seen.state == "failed"
        else:
            assert (seen.state, seen.version) == ("serving", pool.version)
    wanted = Counter()
    for pool in machine.desired.values():
        if pool.version != BROKEN_VERSION:
            wanted[pool.version] += pool.replicas
    running = Counter(one.version for one in machine.replicas.values())
    assert all(running[version] >= count for version, count in wanted.items())


@given(rough_events)
@settings(max_examples=200, deadline=None)
def test_the_same_world_gives_the_same_plan(events):
    machine = Machine()
    for event in events:
        machine.happen(event)
    world = World(
        tuple(machine.desired.values()), tuple(machine.replicas.values()), dict(machine.files), machine.memory
    )
    assert plan(world, machine.now, LIMITS) == plan(world, machine.now, LIMITS)
