import json
from pathlib import Path

import pytest

from modelyard.processes import CommandCheck, ProcessSpec
from modelyard.processes.ports import is_free
from modelyard.serving.replicas import (
    ask,
    free_ports,
    grpc_port,
    port_count,
    replica_name,
    replica_of,
    replica_spec,
    telling_lines,
)
from modelyard.serving.settings import AgentSettings
from modelyard.serving.world import NewReplica

SETTINGS = AgentSettings.model_validate(
    {
        "platform_folder": "/p",
        "port": 1,
        "database": {"port": 2, "password_file": "/p/secrets/db"},
        "tracking": {"url": "http://127.0.0.1:3"},
        "router": {"port": 4, "admin_port": 5, "folder": "/p/serving/envoy"},
    }
)


BIKE = NewReplica("bike", 3, 1)


def spec(new=BIKE, ports=(20001, 20002)):
    return replica_spec(SETTINGS, new, Path("/p/models/bike/3-0"), ports)


@pytest.mark.parametrize("name", ["bike", "bike demand", "prévision", "v1-1"])
def test_a_process_says_which_replica_it_is(name):
    new = NewReplica(name, 3, 2)
    assert replica_of(spec(new)) == new


@pytest.mark.parametrize("name", ["envoy", "model-other"])
def test_other_processes_are_no_replicas(name):
    other = ProcessSpec(name=name, command=("/bin/true",), ready=CommandCheck(command=("/bin/true",)))
    assert replica_of(other) is None


def test_names_differ_where_models_do():
    models = [NewReplica("a b", 1, 1), NewReplica("a_b", 1, 1), NewReplica("a", 11, 1), NewReplica("a", 1, 11)]
    assert len({replica_name(new) for new in models}) == 4


def test_a_replica_listens_on_loopback_only():
    command = spec().command
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_a_model_is_unpickled_only_if_it_is_allowed_by_name():
    allowed = SETTINGS.model_copy(update={"replica": SETTINGS.replica.model_copy(update={"allow_pickle": ("bike",)})})
    texts = [
        json.loads(one.command[one.command.index("--model") + 1])
        for one in (
            spec(),
            replica_spec(allowed, BIKE, Path("/p/models/bike/3-0"), (1, 2)),
            replica_spec(allowed, NewReplica("other", 3, 1), Path("/p/models/other/3-0"), (1, 2)),
        )
    ]
    assert [one["allow_pickle"] for one in texts] == [False, True, False]


def test_a_replica_is_ready_when_its_model_is():
    assert spec(NewReplica("two words", 3, 1)).ready.url == "http://127.0.0.1:20001/v2/models/two%20words/ready"


def test_changed_settings_change_the_process():
    more_threads = SETTINGS.model_copy(update={"replica": SETTINGS.replica.model_copy(update={"threads": 2})})
    other = replica_spec(more_threads, NewReplica("bike", 3, 1), Path("/p/models/bike/3-0"), (20001, 20002))
    assert other.digest != spec().digest


def test_a_replica_answers_over_grpc_if_the_router_passes_that_on():
    assert "--grpc-port" not in spec().command
    router = SETTINGS.router.model_copy(update={"grpc": True})
    settings = SETTINGS.model_copy(update={"router": router})
    found = replica_spec(settings, BIKE, Path("/p/models/bike/3-0"), (20001, 20002, 20003))
    options = dict(zip(found.command, found.command[1:], strict=False))
    assert [options[f"--{name}port"] for name in ("", "grpc-", "management-")] == ["20001", "20002", "20003"]
    assert (port_count(settings), grpc_port(found)) == (3, 20002)
    assert (port_count(SETTINGS), grpc_port(spec())) == (2, None)


def test_free_ports_are_as_many_as_are_needed_and_nobody_has():
    found = free_ports(frozenset(), 3)
    assert len(set(found)) == 3
    assert all(is_free(port) for port in found)


def test_a_replica_that_answers_is_ready(upstreams):
    assert ask(spec(ports=(upstreams[0].port, 1))) == "ready"


def test_a_replica_that_takes_its_time_is_silent(upstreams):
    upstreams[0].delay = 0.3
    assert ask(spec(ports=(upstreams[0].port, 1)), timeout=0.1) == "silent"


def test_a_replica_that_does_not_listen_is_away():
    assert ask(spec(ports=free_ports(frozenset()))) == "away"


def test_the_telling_lines_are_those_that_are_not_routine():
    log = (
        "2026-11-23 10:17:03,015 INFO loading\n"
        "2026-11-23 10:17:04,020 ERROR /models/bike/3 is a pickle\n"
        "2026-11-23 10:17:04,021 ERROR this model server has refused its model\n"
        "[modelyard] model-bike-v3-1: it exited early; next start in 1 s\n"
    )
    assert telling_lines(log).splitlines() == [
        "2026-11-23 10:17:04,020 ERROR /models/bike/3 is a pickle",
    ]


def test_a_log_with_routine_lines_only_is_shown_as_it_is():
    assert telling_lines("[modelyard] started") == "[modelyard] started"
