from modelyard.serving.kubernetes.routes import routes
from modelyard.serving.routes import ModelRoute

BOTH = ModelRoute("bike", ((3, 80), (4, 20)))
AWAY = ModelRoute("taxi", (), "version 1 is starting")
LONGEST_LIST = 16  # of rules, in the specification


def by_name(settings, *models):
    return {one["metadata"]["name"]: one["spec"]["rules"] for one in routes(models, settings)}


def rule(rules, path, header=None):
    """The rule that a path matches exactly as it is written."""
    for one in rules:
        for match in one["matches"]:
            named = [item["value"] for item in match.get("headers", [])]
            if match["path"]["value"] == path and named == ([header] if header else []):
                return one
    raise AssertionError(f"no rule for {path}")


def backends(one):
    return {backend["name"]: (backend["port"], backend.get("weight")) for backend in one["backendRefs"]}


def test_a_models_requests_are_shared_by_weight(settings):
    rules = by_name(settings, BOTH)["model-bike"]
    shared = {"model-bike-v3": (80, 80), "model-bike-v4": (80, 20)}
    assert backends(rule(rules, "/v2/models/bike")) == shared
    assert backends(rule(rules, "/invocations", "bike")) == shared
    assert len(rules) <= LONGEST_LIST


def test_mlflows_own_path_is_rewritten_for_the_server(settings):
    found = rule(by_name(settings, BOTH)["model-bike"], "/models/bike/invocations")
    assert found["filters"][0]["urlRewrite"]["path"]["replaceFullPath"] == "/invocations"


def test_a_version_is_asked_for_by_its_number(settings):
    rules = by_name(settings, BOTH)["model-bike"]
    assert backends(rule(rules, "/v2/models/bike/versions/4")) == {"model-bike-v4": (80, 100)}
    assert backends(rule(rules, "/v2/models/bike/versions")) == {"serving-agent": (9903, None)}


def test_grpc_goes_to_the_other_port(settings):
    rules = by_name(settings, BOTH)["model-bike"]
    assert backends(rule(rules, "/inference.GRPCInferenceService", "bike"))["model-bike-v3"] == (81, 80)
    without = by_name(settings.model_copy(update={"grpc": False}), BOTH)["model-bike"]
    assert not [one for one in without if "GRPC" in str(one["matches"])]


def test_a_model_that_nothing_serves_is_answered_for_by_the_agent(settings):
    rules = by_name(settings, AWAY)["model-taxi"]
    assert {name for one in rules for name in backends(one)} == {"serving-agent"}


def test_what_names_no_model_goes_to_the_only_one(settings):
    assert set(backends(rule(by_name(settings, BOTH)["models"], "/invocations"))) == {"model-bike-v3", "model-bike-v4"}
    several = by_name(settings, BOTH, AWAY)["models"]
    assert "/invocations" not in str([one["matches"] for one in several])
    assert backends(rule(several, "/")) == {"serving-agent": (9903, None)}


def test_every_route_hangs_on_the_gateway_and_has_a_time_limit(settings):
    for document in routes((BOTH, AWAY), settings):
        spec = document["spec"]
        assert spec["parentRefs"] == [{"name": "edge", "namespace": "ml", "sectionName": "web"}]
        assert spec["hostnames"] == ["models.example.com"]
        assert {one["timeouts"]["request"] for one in spec["rules"]} == {"60000ms"}


def test_an_odd_name_is_encoded_in_paths(settings):
    rules = by_name(settings, ModelRoute("bike demand", ((1, 100),)))
    (name,) = (one for one in rules if one != "models")
    assert rule(rules[name], "/v2/models/bike%20demand")
    assert rule(rules[name], "/invocations", "bike demand")
