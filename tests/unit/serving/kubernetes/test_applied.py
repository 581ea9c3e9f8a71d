import time

import pytest

from modelyard.serving.kubernetes.applied import AGAIN_SECONDS, Applied
from modelyard.serving.loop import Ended
from tests.support.fake_kubernetes import FakeApi


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def route(weight=1):
    return {"kind": "HTTPRoute", "metadata": {"name": "r"}, "spec": {"weight": weight}}


def there(api):
    return {name: one for (kind, name), one in api.objects.items() if kind == "HTTPRoute"}


def test_what_is_as_it_should_be_is_left_alone(api, clock):
    applied = Applied(api, lambda: None)
    for _ in range(5):
        applied.ensure(route(), there(api))
        clock[0] += 2
    assert api.applied == [("HTTPRoute", "r")]


def test_a_change_is_applied_at_once(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route(1), {})
    applied.ensure(route(2), there(api))
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 2}


def test_what_somebody_deleted_is_made_again(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route(), {})
    clock[0] += 2
    del api.objects["HTTPRoute", "r"]
    applied.ensure(route(), there(api))
    assert there(api)


def test_what_somebody_altered_is_put_right(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route(), {})
    clock[0] += 2
    api.write(there(api)["r"] | {"spec": {"weight": 7}})
    applied.ensure(route(), there(api))
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 1}


def test_what_somebody_made_in_its_place_is_put_right(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route(), {})
    clock[0] += 2
    del api.objects["HTTPRoute", "r"]
    api.write(route(7))
    applied.ensure(route(), there(api))
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 1}


def test_what_is_not_watched_is_put_right_after_a_while(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route())
    api.write(there(api)["r"] | {"spec": {"weight": 7}})
    clock[0] += AGAIN_SECONDS - 1
    applied.ensure(route())
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 7}
    clock[0] += 2
    applied.ensure(route())
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 1}


def test_a_new_agent_finds_what_the_last_one_made(api, clock):
    Applied(api, lambda: None).ensure(route(), {})
    applied = Applied(api, lambda: None)
    applied.ensure(route(), there(api))
    assert api.applied.count(("HTTPRoute", "r")) == 2  # once, to know it
    applied.ensure(route(), there(api))
    assert api.applied.count(("HTTPRoute", "r")) == 2


def test_what_was_deleted_here_is_forgotten(api, clock):
    applied = Applied(api, lambda: None)
    applied.ensure(route(), {})
    applied.delete("HTTPRoute", "r")
    applied.ensure(route(), {})
    assert api.applied.count(("HTTPRoute", "r")) == 2


def test_who_has_lost_the_lease_in_the_middle_of_a_step_writes_nothing(api, clock):
    lost = []

    def check():
        if lost:
            raise Ended

    applied = Applied(api, check)
    applied.ensure(route(1), {})
    lost.append(True)
    with pytest.raises(Ended):
        applied.ensure(route(2), there(api))
    with pytest.raises(Ended):
        applied.delete("HTTPRoute", "r")
    assert api.objects["HTTPRoute", "r"]["spec"] == {"weight": 1}
    applied.ensure(route(1), there(api))  # nothing to write
