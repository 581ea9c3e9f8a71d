import time

import pytest

from modelyard.kube.api import Conflict, ConnectionLost
from modelyard.kube.lease import Lease
from tests.support.fake_kubernetes import FakeApi
from tests.support.waiting import eventually


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def wanting(api, holder):
    return Lease(api, "agent", holder, seconds=15)


def spec(api):
    return api.objects["Lease", "agent"]["spec"]


def test_the_first_one_gets_it(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    one.try_to_hold()
    two.try_to_hold()
    assert (one.is_held, two.is_held) == (True, False)
    assert (spec(api)["holderIdentity"], spec(api)["leaseTransitions"]) == ("one", 1)


def test_it_is_kept_by_renewing_it(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    for _ in range(20):
        one.try_to_hold()
        two.try_to_hold()
        clock[0] += 5
        assert (one.is_held, two.is_held) == (True, False)
    assert spec(api)["leaseTransitions"] == 1


def test_who_cannot_renew_stops_before_another_one_begins(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    one.try_to_hold()
    began = clock[0]
    ended = taken = None
    while taken is None:
        two.try_to_hold()
        if ended is None and not one.is_held:
            ended = clock[0] - began
        if two.is_held:
            taken = clock[0] - began
        clock[0] += 1
    assert ended == pytest.approx(10, abs=1)
    assert taken == pytest.approx(16, abs=1)


def test_clocks_of_different_machines_need_not_agree(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    one.try_to_hold()
    api.objects["Lease", "agent"]["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    two.try_to_hold()
    assert not two.is_held


def test_of_two_at_once_one_gets_it(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    both = api.get
    found = both("Lease", "agent")
    api.get = lambda kind, name: found
    one.try_to_hold()
    with pytest.raises(Conflict):
        two.try_to_hold()
    assert (one.is_held, two.is_held) == (True, False)


def test_it_is_given_back_at_the_end(api, clock):
    one, two = wanting(api, "one"), wanting(api, "two")
    one.start()
    while not one.is_held:
        time.sleep(0.001)
    one.stop()
    assert not one.is_held
    two.try_to_hold()
    assert two.is_held
    assert spec(api)["leaseTransitions"] == 2


def test_an_api_server_that_is_away_takes_it_from_nobody_at_once(api, clock):
    one = wanting(api, "one")
    one.try_to_hold()
    api.is_away = True
    with pytest.raises(ConnectionLost):
        one.try_to_hold()
    assert one.is_held
    clock[0] += 11
    assert not one.is_held


def test_whatever_goes_wrong_it_is_tried_again(api, caplog):
    one = Lease(api, "agent", "one", renew_seconds=0.005)
    tries = iter([ValueError("not as expected")] * 3)
    real = api.get

    def get(kind, name):
        if error := next(tries, None):
            raise error
        return real(kind, name)

    api.get = get
    one.start()
    eventually(lambda: one.is_held)
    one.stop()
    assert len([record for record in caplog.records if record.exc_info]) == 1
