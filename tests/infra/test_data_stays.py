"""What keeps a change of settings from leaving data behind, and from going with what others need."""

import pytest
from pulumi.runtime.mocks import MockMonitor

from modelyard_infra.parts import load
from modelyard_infra.resources.part_kind import PartKindProvider
from tests.infra.test_cluster_stores import DATABASE, GIVEN, OPERATOR, STORE
from tests.infra.test_settings import cluster_config, refused

STATEFUL = {"kind": "statefulset"}


def failures(before, after):
    return [failure.reason for failure in PartKindProvider().check(before, after).failures]


def remembered(kind="external", migrated_from=None, **place):
    return {"part": "artifact_store", "kind": kind, "place": place, "migrated_from": migrated_from}


def test_another_bucket_is_refused():
    (said,) = failures(remembered(bucket="team"), remembered(bucket="group"))
    assert "artifact_store.bucket can't change from 'team' to 'group': what is there would be left behind" in said
    assert "`migrated_from: external`" in said


def test_another_bucket_is_taken_once_its_data_was_moved():
    assert failures(remembered(bucket="team"), remembered(bucket="group", migrated_from="external")) == []


def test_another_kind_is_refused_until_its_data_was_moved():
    before = remembered("statefulset", bucket="mlflow")
    (said,) = failures(before, remembered(bucket="team"))
    assert "is of kind 'statefulset': it can't become 'external' without losing that data" in said
    assert failures(before, remembered(bucket="team", migrated_from="statefulset")) == []


def test_states_of_before_places_were_remembered_are_taken():
    before = {"part": "artifact_store", "kind": "external", "migrated_from": None}
    assert failures(before, remembered(bucket="team")) == []


@pytest.mark.parametrize(
    ("part", "settings", "expected"),
    [
        ("artifact_store", STORE, {"bucket": "team-mlflow"}),
        ("artifact_store", STATEFUL, {"bucket": "mlflow"}),
        ("registry_database", DATABASE | {"prefix": "team"}, {"prefix": "team"}),
        ("registry_database", STATEFUL, {}),
    ],
)
def test_what_says_where_data_is_is_remembered(registered_cluster, part, settings, expected):
    kinds = [one for one in registered_cluster(everything=True, **{part: settings}) if one.kind == "PartKind"]
    (found,) = (one.inputs["place"] for one in kinds if one.inputs["part"] == part)
    assert found == expected


@pytest.mark.parametrize(
    ("part", "kinds"),
    [("registry_database", (STATEFUL, DATABASE, OPERATOR)), ("artifact_store", (STATEFUL, STORE))],
)
def test_a_kind_takes_over_what_another_has_made_under_the_same_names(registered_cluster, part, kinds, monkeypatch):
    """By aliases: an object of the same name is then changed in place, not made a second time and then deleted."""
    seen = {}
    for settings in kinds:
        registered = {}
        original = MockMonitor.RegisterResource

        def remember(self, request, original=original, registered=registered):
            if request.type.startswith(f"modelyard:{part}:"):
                registered["type"] = request.type
                registered["aliases"] = {alias.spec.type for alias in request.aliases}
            return original(self, request)

        monkeypatch.setattr(MockMonitor, "RegisterResource", remember)
        registered_cluster(**{part: settings})
        monkeypatch.undo()
        seen[registered["type"]] = registered["aliases"]
    for own, aliases in seen.items():
        assert aliases == seen.keys() - {own}


def test_a_volume_is_not_replaced_for_another_storage_class(registered_cluster, monkeypatch):
    ignored = {}
    original = MockMonitor.RegisterResource

    def remember(self, request):
        if request.type.endswith(":PersistentVolumeClaim"):
            ignored[request.name] = list(request.ignoreChanges)
        return original(self, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", remember)
    registered_cluster()
    assert set(ignored) >= {"registry-database-data", "artifact-store-data", "prometheus-data"}
    assert {tuple(paths) for paths in ignored.values()} == {("spec.storageClassName",)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tracking_server": {"kind": "kubernetes", "most_replicas": 9}}, "registry_database.mlflow_connections is 80"),
        ({"tracking_server": {"kind": "kubernetes", "replicas": 9}}, "open up to 120 connections"),
        (
            {"registry_database": {k: v for k, v in DATABASE.items() if k != "administrator"} | {"databases": GIVEN}}
            | {"tracking_server": {"kind": "kubernetes", "most_replicas": 9}},
            "registry_database.databases.mlflow.connections is 80",
        ),
    ],
)
def test_more_servers_than_the_database_lets_in_are_refused(tmp_path, changes, words):
    assert words in refused(cluster_config(**changes), tmp_path)


def test_people_are_not_sent_to_an_issuer_whose_tokens_are_not_taken(tmp_path):
    jwt = {"issuer": "https://other.test", "audiences": ["mlflow"], "jwks_url": "https://other.test/keys"}
    edge = {"kind": "gateway_api", "domain": "ml.test", "tls": {"kind": "secret", "name": "given"}}
    edge["oidc"] = {"issuer": "https://login.test", "client_id": "mlflow", "client_secret": "oidc"}
    said = refused(cluster_config(edge=edge, tracking_server={"kind": "kubernetes", "jwt": jwt}), tmp_path)
    assert "people sign in at https://login.test, and the tracking server takes those of https://other.test" in said


def apis(part, kind, **settings):
    loaded = load(part, kind)
    return loaded.apis(loaded.settings.model_validate(settings))


def test_a_cluster_needs_the_metrics_that_autoscalers_ask_for():
    assert "metrics.k8s.io/v1beta1" in apis("tracking_server", "kubernetes")
    assert apis("tracking_server", "kubernetes", replicas=2, most_replicas=2) == {}
    growing = {"most_replicas": 4, "requests_in_flight": 8, "api_keys": ("team",)}
    assert {"metrics.k8s.io/v1beta1", "custom.metrics.k8s.io"} <= apis(
        "serving_cluster", "kubernetes", **growing
    ).keys()
    assert apis("serving_cluster", "kubernetes", api_keys=("team",)) == {}


def test_a_cluster_needs_the_gateway_class():
    found = apis("edge", "gateway_api", domain="ml.test", plain_http=True, gateway_class="team")
    assert "`kubectl get gatewayclasses`" in found["gateway.networking.k8s.io/v1/gatewayclasses/team"]
