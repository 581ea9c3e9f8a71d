import pytest

from modelyard.kube import troubles


def pod(name="a", phase="Pending", **status):
    return {"metadata": {"name": name}, "status": {"phase": phase, **status}}


def waiting(reason, message=""):
    return {"containerStatuses": [{"name": "server", "state": {"waiting": {"reason": reason, "message": message}}}]}


def ended(code, message="", reason="Error"):
    end = {"exitCode": code, "message": message, "reason": reason}
    return {"containerStatuses": [{"name": "server", "state": {}, "lastState": {"terminated": end}}]}


def event(name, message, kind="StatefulSet", reason="FailedCreate", sort="Warning"):
    return {"type": sort, "reason": reason, "message": message, "involvedObject": {"kind": kind, "name": name}}


class Namespace:
    """What a namespace has, by kind."""

    def __init__(self, pods=(), events=(), gateways=()):
        self._found = {"Pod": list(pods), "Event": list(events), "Gateway": list(gateways)}

    def list(self, kind, labels):
        return self._found[kind], "1"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "no node takes it: 0/3",
        ),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff: Back-off pulling image"),
        (ended(137, reason="OOMKilled"), "server needed more memory than its limit"),
        (waiting("CrashLoopBackOff") | {"phase": "Running"}, "CrashLoopBackOff"),
    ],
)
def test_what_keeps_a_pod_from_starting_is_said(status, words):
    (line,) = troubles.look(Namespace([pod(**status)]))
    assert line.startswith(f"pod a: {words}")


def test_a_program_that_ends_is_quoted_with_its_last_words():
    (line,) = troubles.look(Namespace([pod(**ended(1, "starting\nerror: the database refuses me"))]))
    assert line == "pod a: error: the database refuses me"


@pytest.mark.parametrize("status", [waiting("ContainerCreating"), {"phase": "Succeeded"} | ended(1, "x"), {}])
def test_pods_that_are_on_their_way_or_done_are_no_trouble(status):
    assert troubles.look(Namespace([pod(**status)])) == []


def test_pods_that_could_not_even_be_made_are_told_by_the_last_event():
    events = [
        event("db", "exceeded quota: old"),
        event("db", "exceeded quota: small"),
        event("db", "pulled", reason="Pulled", sort="Normal"),
        event("other", "unhealthy", reason="Unhealthy"),
    ]
    assert troubles.look(Namespace(events=events)) == ["StatefulSet db: exceeded quota: small"]


def gateway(**statuses):
    conditions = [{"type": name, "status": status, "message": f"{name} {status}"} for name, status in statuses.items()]
    return {
        "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "mine"},
        "status": {"conditions": conditions},
    }


def test_a_gateway_that_nobody_serves_names_its_class():
    (line,) = troubles.look(Namespace(gateways=[gateway(Accepted="Unknown")]))
    assert line.startswith("Gateway edge: Accepted Unknown (its class is mine;")
    (line,) = troubles.look(Namespace(gateways=[gateway(Accepted="True", Programmed="False")]))
    assert line.startswith("Gateway edge: Programmed False")
    assert troubles.look(Namespace(gateways=[gateway(Accepted="True", Programmed="True")])) == []
