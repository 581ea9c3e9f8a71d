from dataclasses import replace

import pytest

from modelyard.serving.decisions import HOPELESS_STARTS
from modelyard.serving.plan import plan
from modelyard.serving.pools import DesiredPool
from modelyard.serving.world import Failure, Files, Limits, Memory, NewReplica, Replica, Serving, World

LIMITS = Limits(ready=120, drain=30, settle=1)
HERE = Files("here")


def stable(version, *, replicas=1, weight=100, generation=1):
    return DesiredPool("bike", "stable", version, replicas, weight, generation)


def canary(version, *, replicas=1, weight=10, generation=2):
    return DesiredPool("bike", "canary", version, replicas, weight, generation)


def replica(version, index=1, **seen):
    name = f"model-bike-v{version}-{index}"
    return Replica(name, "bike", version, index, port=20000 + 10 * version + index, since=0, **seen)


def ready(version, index=1, **seen):
    return replica(version, index, ready=True, **seen)


def world(*desired, replicas=(), here=(1, 2), serving=None, failures=None, draining=None):
    memory = Memory(
        {("bike", pool): one for pool, one in (serving or {}).items()},
        {("bike", version): failure for version, failure in (failures or {}).items()},
        draining or {},
    )
    return World(desired, tuple(replicas), {("bike", version): HERE for version in here}, memory)


def shares(decided):
    return {route.model: dict(route.shares) for route in decided.routes}


def draining(decided):
    return set(decided.memory.draining)


def test_files_are_fetched_before_anything_is_started():
    decided = plan(world(stable(1), here=()), 0, LIMITS)
    assert decided.fetch == (("bike", 1),)
    assert decided.start == ()
    assert decided.observed[0].state == "waiting"


def test_the_router_learns_where_a_replica_answers_over_grpc():
    both = [replica(1, ready=True, grpc_port=30001), replica(1, 2, ready=True)]
    decided = plan(world(stable(1, replicas=2), replicas=both), 0, LIMITS)
    assert [one.grpc_port for one in decided.versions[0].endpoints] == [30001, None]


def test_files_that_are_on_their_way_are_not_fetched_again():
    coming = World((stable(1),), (), {("bike", 1): Files("coming", "trying again")}, Memory())
    decided = plan(coming, 0, LIMITS)
    assert decided.fetch == ()
    assert (decided.observed[0].state, decided.observed[0].message) == ("downloading", "trying again")


def test_as_many_replicas_are_started_as_are_wanted():
    decided = plan(world(stable(1, replicas=2)), 0, LIMITS)
    assert decided.start == (NewReplica("bike", 1, 1), NewReplica("bike", 1, 2))


def test_a_new_replica_takes_the_lowest_free_place():
    there = [ready(1, 1), ready(1, 3)]
    decided = plan(world(stable(1, replicas=3), replicas=there, serving={"stable": Serving(1, 3)}), 0, LIMITS)
    assert decided.start == (NewReplica("bike", 1, 2),)


def test_a_place_is_not_free_while_its_replica_is_being_removed():
    decided = plan(world(stable(1), replicas=[replica(1, removing=True)]), 0, LIMITS)
    assert decided.start == (NewReplica("bike", 1, 2),)


def test_the_first_replica_that_is_ready_answers_for_a_model_that_nothing_served_before():
    there = [ready(1, 1), replica(1, 2)]
    decided = plan(world(stable(1, replicas=2), replicas=there), 0, LIMITS)
    assert shares(decided) == {"bike": {1: 100}}
    assert decided.observed[0].state == "starting"


def test_a_new_version_waits_until_all_its_replicas_are_ready():
    there = [ready(1, 1), ready(1, 2), ready(2, 1), replica(2, 2)]
    before = {"stable": Serving(1, 2)}
    assert shares(plan(world(stable(2, replicas=2), replicas=there, serving=before), 0, LIMITS)) == {"bike": {1: 100}}


def test_a_new_version_takes_over_when_all_its_replicas_are_ready():
    there = [ready(1, 1), ready(1, 2), ready(2, 1), ready(2, 2)]
    before = {"stable": Serving(1, 2)}
    assert shares(plan(world(stable(2, replicas=2), replicas=there, serving=before), 0, LIMITS)) == {"bike": {2: 100}}


def test_the_old_version_is_not_drained_in_the_step_that_takes_it_out_of_the_routes():
    first = plan(world(stable(2), replicas=[ready(1), ready(2)], serving={"stable": Serving(1, 1)}), 0, LIMITS)
    assert draining(first) == set()
    after = World(first.memory and (stable(2),), (ready(1), ready(2)), {("bike", 2): HERE}, first.memory)
    assert draining(plan(after, 1, LIMITS)) == {"model-bike-v1-1"}


def test_an_old_version_without_a_ready_replica_does_not_hold_the_new_one_up():
    there = [replica(1), ready(2, 1), replica(2, 2)]
    before = {"stable": Serving(1, 1)}
    assert shares(plan(world(stable(2, replicas=2), replicas=there, serving=before), 0, LIMITS)) == {"bike": {2: 100}}


@pytest.mark.parametrize(
    ("waited", "active", "gone"),
    [(0.5, 0, False), (2, 0, True), (2, 3, False), (2, None, False), (31, 3, True), (31, None, True)],
)
def test_a_draining_replica_is_removed_when_it_is_idle_or_its_time_is_up(waited, active, gone):
    there = [ready(1, active=active), ready(2)]
    drained = world(stable(2), replicas=there, serving={"stable": Serving(2, 1)}, draining={"model-bike-v1-1": 100.0})
    assert (plan(drained, 100 + waited, LIMITS).remove == ("model-bike-v1-1",)) is gone


def test_a_draining_replica_gets_no_new_requests_and_keeps_those_it_has():
    drained = world(stable(2), replicas=[ready(1, active=2), ready(2)], serving={"stable": Serving(2, 1)})
    endpoints = {version.version: version.endpoints for version in plan(drained, 0, LIMITS).versions}
    assert [endpoint.draining for endpoint in endpoints[1]] == [True]
    assert [endpoint.draining for endpoint in endpoints[2]] == [False]


def test_a_draining_replica_is_taken_back_when_it_is_wanted_again():
    drained = world(
        stable(1), replicas=[ready(1), ready(2)], serving={"stable": Serving(2, 1)}, draining={"model-bike-v1-1": 0.0}
    )
    decided = plan(drained, 5, LIMITS)
    assert decided.start == ()
    assert draining(decided) == set()


def test_scaling_down_takes_the_replica_that_is_not_ready():
    there = [replica(1, 1), ready(1, 2)]
    decided = plan(world(stable(1), replicas=there, serving={"stable": Serving(1, 2)}), 0, LIMITS)
    assert decided.remove == ("model-bike-v1-1",)


@pytest.mark.parametrize("exits", [{"starts": HOPELESS_STARTS}, {"starts": 2, "refuses": True}])
def test_a_version_that_keeps_exiting_has_failed_and_the_old_one_goes_on(exits):
    there = [ready(1), replica(2, log="BadZipFile: File is not a zip file", **exits)]
    decided = plan(world(stable(2, generation=7), replicas=there, serving={"stable": Serving(1, 1)}), 0, LIMITS)
    assert shares(decided) == {"bike": {1: 100}}
    assert decided.observed[0].state == "failed"
    assert "BadZipFile" in decided.observed[0].message
    assert decided.remove == ("model-bike-v2-1",)
    assert decided.memory.failures[("bike", 2)].generation == 7


def test_a_replica_that_was_killed_while_it_loaded_gets_another_chance():
    there = [ready(1), replica(2, starts=2)]
    decided = plan(world(stable(2), replicas=there, serving={"stable": Serving(1, 1)}), 0, LIMITS)
    assert decided.observed[0].state == "degraded"
    assert decided.remove == ()


def test_a_version_that_is_not_ready_in_time_has_failed():
    there = [ready(1), replica(2)]
    late = plan(world(stable(2), replicas=there, serving={"stable": Serving(1, 1)}), LIMITS.ready + 1, LIMITS)
    assert late.observed[0].state == "failed"


def test_a_failed_version_is_not_tried_again():
    known = world(
        stable(2, generation=7),
        replicas=[ready(1)],
        serving={"stable": Serving(1, 1)},
        failures={2: Failure(7, "no")},
    )
    decided = plan(known, 0, LIMITS)
    assert (decided.start, decided.fetch) == ((), ())


def test_a_failed_version_is_tried_again_when_it_is_deployed_again():
    known = world(
        stable(2, generation=8),
        replicas=[ready(1)],
        serving={"stable": Serving(1, 1)},
        failures={2: Failure(7, "no")},
    )
    assert plan(known, 0, LIMITS).start == (NewReplica("bike", 2, 1),)


def test_files_that_can_not_be_had_fail_the_version():
    refused = World((stable(1),), (), {("bike", 1): Files("refused", "no MLmodel")}, Memory())
    decided = plan(refused, 0, LIMITS)
    assert (decided.observed[0].state, decided.observed[0].message) == ("failed", "no MLmodel")


def test_a_crash_of_the_version_that_is_served_is_no_failure():
    there = [replica(1, 1, starts=9), ready(1, 2)]
    decided = plan(world(stable(1, replicas=2), replicas=there, serving={"stable": Serving(1, 2)}), 999, LIMITS)
    assert decided.observed[0].state == "degraded"
    assert decided.remove == ()
    assert shares(decided) == {"bike": {1: 100}}


def test_the_version_that_served_is_started_again_when_the_wanted_one_has_failed():
    restarted = world(stable(2), serving={"stable": Serving(1, 3)}, failures={2: Failure(1, "no")})
    assert [new.version for new in plan(restarted, 0, LIMITS).start] == [1, 1, 1]


def test_a_canary_gets_its_share_once_it_is_ready():
    before = {"stable": Serving(1, 1)}
    pools = stable(1, weight=90), canary(2, weight=10)
    waiting = plan(world(*pools, replicas=[ready(1), replica(2)], serving=before), 0, LIMITS)
    assert shares(waiting) == {"bike": {1: 90}}
    there = plan(world(*pools, replicas=[ready(1), ready(2)], serving=before), 0, LIMITS)
    assert shares(there) == {"bike": {1: 90, 2: 10}}


def test_the_stable_version_answers_for_a_canary_that_is_away():
    pools = stable(1, weight=0), canary(2, weight=100)
    both = {"stable": Serving(1, 1), "canary": Serving(2, 1)}
    assert shares(plan(world(*pools, replicas=[ready(1), replica(2)], serving=both), 0, LIMITS)) == {"bike": {1: 100}}


def test_a_promoted_canary_keeps_its_replicas():
    promoted = world(
        stable(2, generation=3),
        replicas=[ready(1), ready(2)],
        serving={"stable": Serving(1, 1), "canary": Serving(2, 1)},
    )
    decided = plan(promoted, 0, LIMITS)
    assert shares(decided) == {"bike": {2: 100}}
    assert decided.start == ()
    after = World((stable(2),), (ready(1), ready(2)), {("bike", 2): HERE}, decided.memory)
    assert draining(plan(after, 1, LIMITS)) == {"model-bike-v1-1"}


def test_pools_on_the_same_version_share_its_replicas():
    decided = plan(world(stable(1, weight=90), canary(1), replicas=[ready(1)]), 0, LIMITS)
    assert shares(decided) == {"bike": {1: 100}}
    assert decided.start == (NewReplica("bike", 1, 2),)


def test_a_replica_with_old_settings_serves_until_its_replacement_is_ready():
    old = ready(1, 1, current=False)
    before = {"stable": Serving(1, 1)}
    first = plan(world(stable(1), replicas=[old], serving=before), 0, LIMITS)
    assert first.start == (NewReplica("bike", 1, 2),)
    assert draining(first) == set()
    starting = plan(world(stable(1), replicas=[old, replica(1, 2)], serving=before), 0, LIMITS)
    assert draining(starting) == set()
    there = plan(world(stable(1), replicas=[old, ready(1, 2)], serving=before), 0, LIMITS)
    assert draining(there) == {"model-bike-v1-1"}


def test_an_undeployed_model_loses_its_route_first_and_its_replicas_then():
    first = plan(world(replicas=[ready(1)], serving={"stable": Serving(1, 1)}), 0, LIMITS)
    assert first.routes == ()
    assert draining(first) == set()
    assert draining(plan(World((), (ready(1),), {}, first.memory), 1, LIMITS)) == {"model-bike-v1-1"}


def test_a_model_without_a_ready_replica_says_why():
    decided = plan(world(stable(1), replicas=[replica(1)]), 0, LIMITS)
    assert decided.routes[0].shares == ()
    assert decided.routes[0].reason == "version 1 is starting"


def test_nothing_is_left_to_do_when_everything_is_as_wanted():
    settled = world(stable(1), replicas=[ready(1)], serving={"stable": Serving(1, 1)})
    decided = plan(settled, 50, LIMITS)
    assert (decided.fetch, decided.start, decided.remove) == ((), (), ())
    assert decided.memory == replace(settled.memory)
    assert decided.observed[0].state == "serving"


def test_a_silent_replica_with_a_request_in_progress_is_not_removed_before_the_drain_limit():
    old = replica(1, 1, active=1)
    world_now = world(stable(2), replicas=[old, ready(2, 1)], serving={"stable": Serving(2, 2)})
    assert plan(world_now, 0, LIMITS).remove == ()
