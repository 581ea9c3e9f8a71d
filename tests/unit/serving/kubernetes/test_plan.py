from modelyard.serving.kubernetes.plan import plan
from modelyard.serving.pools import DesiredPool
from modelyard.serving.world import Limits, Memory, Replica, Serving, World

LIMITS = Limits(ready=600, settle=10)
ONE, TWO = ("bike", 1), ("bike", 2)


def stable(version, *, replicas=1, weight=100, generation=1):
    return DesiredPool("bike", "stable", version, replicas, weight, generation)


def canary(version, *, weight=20):
    return DesiredPool("bike", "canary", version, 1, weight, 2)


def pod(version, name="a", *, ready=True, **seen):
    return Replica(f"{name}-{version}", "bike", version, 0, 0, since=0, ready=ready, **seen)


def step(*desired, pods=(), memory=None, there=(), now=0.0):
    world = World(desired, tuple(pods), {}, memory or Memory())
    return plan(world, set(there), now, LIMITS)


def shares(decided):
    return {route.model: dict(route.shares) for route in decided.routes}


def served(version, replicas=1):
    return Memory({("bike", "stable"): Serving(version, replicas)})


def test_what_is_wanted_gets_its_replicas_before_it_gets_requests():
    decided = step(stable(1, replicas=2))
    assert decided.replicas == {ONE: 2}
    assert shares(decided) == {"bike": {}}
    assert decided.observed[0].state == "waiting"


def test_requests_move_when_all_replicas_of_the_new_version_are_ready():
    half = [pod(1), pod(2), pod(2, "b", ready=False)]
    decided = step(stable(2, replicas=2), pods=half, memory=served(1), there=(ONE, TWO))
    assert shares(decided) == {"bike": {1: 100}}
    assert decided.replicas == {ONE: 1, TWO: 2}
    whole = [pod(1), pod(2), pod(2, "b")]
    decided = step(stable(2, replicas=2), pods=whole, memory=served(1), there=(ONE, TWO))
    assert shares(decided) == {"bike": {2: 100}}


def test_the_old_version_stays_until_the_routes_have_been_told_everywhere():
    pods, there = [pod(1), pod(2)], (ONE, TWO)
    moved = step(stable(2), pods=pods, memory=served(1), there=there, now=100)
    assert moved.remove == ()
    left = step(stable(2), pods=pods, memory=moved.memory, there=there, now=101)
    assert left.remove == ()
    assert left.memory.draining == {"model-bike-v1": 101}
    assert step(stable(2), pods=pods, memory=left.memory, there=there, now=110).remove == ()
    assert step(stable(2), pods=pods, memory=left.memory, there=there, now=111).remove == (ONE,)


def test_a_version_that_is_wanted_again_is_kept():
    memory = Memory({("bike", "stable"): Serving(2, 1)}, {}, {"model-bike-v1": 0.0})
    decided = step(stable(1), pods=[pod(1), pod(2)], memory=memory, there=(ONE, TWO), now=50)
    assert decided.remove == ()
    assert shares(decided) == {"bike": {1: 100}}


def test_requests_are_shared_between_stable_and_canary():
    pods, memory = [pod(1), pod(2)], served(1)
    assert shares(step(stable(1, weight=80), canary(2), pods=pods, memory=memory)) == {"bike": {1: 80, 2: 20}}


def test_a_promoted_canary_keeps_its_replicas():
    memory = Memory({("bike", "stable"): Serving(1, 1), ("bike", "canary"): Serving(2, 1)})
    decided = step(stable(2, generation=3), pods=[pod(1), pod(2)], memory=memory, there=(ONE, TWO))
    assert decided.replicas == {TWO: 1}
    assert shares(decided) == {"bike": {2: 100}}


def test_a_refused_model_fails_and_its_pods_go():
    refusing = pod(2, ready=False, refuses=True, log="ValueError: no")
    decided = step(stable(2), pods=[pod(1), refusing], memory=served(1), there=(ONE, TWO), now=5)
    assert decided.observed[0].state == "failed"
    assert "ValueError: no" in decided.observed[0].message
    assert decided.replicas == {ONE: 1}
    assert shares(decided) == {"bike": {1: 100}}
    assert step(stable(2), pods=[pod(1)], memory=decided.memory, there=(ONE, TWO), now=15).remove == (TWO,)


def test_what_keeps_a_pod_from_starting_is_said_while_it_waits_and_when_it_fails():
    stuck = pod(1, ready=False, trouble="ImagePullBackOff: no such image")
    assert step(stable(1), pods=[stuck], now=10).observed[0].message == (
        "0 of 1 replicas ready: ImagePullBackOff: no such image"
    )
    late = step(stable(1), pods=[stuck], now=601)
    assert late.observed[0].state == "failed"
    assert late.observed[0].message == "a-1 was not ready after 600 s; ImagePullBackOff: no such image"


def test_an_undeployed_model_goes_with_all_it_has():
    decided = step(pods=[pod(1)], memory=served(1), there=(ONE,), now=0)
    assert decided.routes == ()
    later = step(pods=[pod(1)], memory=decided.memory, there=(ONE,), now=1)
    assert step(pods=[pod(1)], memory=later.memory, there=(ONE,), now=20).remove == (ONE,)


def test_replicas_that_were_added_under_load_change_nothing():
    pods = [pod(1), pod(1, "b"), pod(1, "c")]
    decided = step(stable(1), pods=pods, memory=served(1), there=(ONE,))
    assert decided.replicas == {ONE: 1}
    assert decided.memory.draining == {}
    assert decided.observed[0].state == "serving"


def test_a_pod_on_its_way_out_answers_nobody():
    decided = step(stable(1), pods=[pod(1, removing=True)], memory=served(1), there=(ONE,))
    assert shares(decided) == {"bike": {}}
