import json

import kubernetes_validate
import pytest

from modelyard.serving.kubernetes import documents, kserve
from modelyard.serving.kubernetes.settings import ModelSettings, ScalingSettings

KEY = ("bike demand", 3)


def objects(settings, *, replicas=1, running=None):
    found = documents.version_objects(settings, KEY, "mlflow-artifacts:/1/m", replicas=replicas, running=running)
    return {document["kind"]: document for document in found}


def variables(container):
    return {one["name"]: json.loads(one["value"]) for one in container["env"]}


def test_every_object_fits_the_schema_of_its_kind(settings):
    growing = settings.model_copy(update={"scaling": ScalingSettings(most_replicas=9, requests_in_flight=4)})
    found = objects(growing, replicas=2)
    assert set(found) == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    for document in found.values():
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_both_containers_are_told_which_model_it_is(settings):
    spec = objects(settings)["Deployment"]["spec"]["template"]["spec"]
    (fetch,), (server,) = spec["initContainers"], spec["containers"]
    wanted = variables(fetch)["MODELYARD_FETCH"]
    assert (wanted["name"], wanted["version"], wanted["source"]) == ("bike demand", 3, "mlflow-artifacts:/1/m")
    served = variables(server)["MODELYARD_SERVED"]
    assert (served["name"], served["version"], served["allow_pickle"]) == ("bike demand", "3", False)
    assert (served["folder"], served["manifest"]) == (wanted["folder"], wanted["manifest"])


def test_pickles_are_for_models_that_were_named(settings):
    allowing = settings.model_copy(update={"allow_pickle": ("bike demand",)})
    (server,) = objects(allowing)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert variables(server)["MODELYARD_SERVED"]["allow_pickle"] is True


def test_a_deployment_says_which_version_it_is_of(settings):
    assert documents.version_of(objects(settings)["Deployment"]) == KEY


def test_a_service_finds_the_pods_of_its_version(settings):
    found = objects(settings)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"].items() <= labels.items()


def test_the_template_of_all_stays_as_it_is(settings):
    before = json.dumps(settings.pod)
    objects(settings)
    assert json.dumps(settings.pod) == before


def test_a_model_gets_its_own_place_and_resources(settings):
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    own = ModelSettings(
        cpu="2", memory="4Gi", devices={"nvidia.com/gpu": 1}, node_selector={"gpu": "a10"}, tolerations=(toleration,)
    )
    found = objects(settings.model_copy(update={"models": {"bike demand": own}}))
    spec = found["Deployment"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"pool": "ml", "gpu": "a10"}
    assert spec["tolerations"] == [toleration]
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }


def test_replicas_that_were_added_under_load_stay(settings):
    growing = settings.model_copy(update={"scaling": ScalingSettings(most_replicas=9)})
    assert objects(growing, replicas=2, running=5)["Deployment"]["spec"]["replicas"] == 5
    assert objects(growing, replicas=2, running=1)["Deployment"]["spec"]["replicas"] == 2
    assert objects(settings, replicas=2, running=5)["Deployment"]["spec"]["replicas"] == 2


def test_what_is_owned_goes_with_its_owner(settings):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "uid": "u"}}
    (reference,) = documents.owned(objects(settings)["Service"], owner)["metadata"]["ownerReferences"]
    assert reference == {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "u"}


class TestByKServe:
    """What the agent makes where a ServingRuntime has the server's container."""

    @pytest.fixture
    def settings(self, settings):
        kept = kserve.without_runtime(settings.pod | {"metadata": {"labels": {"part": "serving"}}})
        return settings.model_copy(update={"runtime": "modelyard-model-server", "pod": kept})

    def test_an_inference_service_takes_the_deployments_place(self, settings):
        found = objects(settings, replicas=2)
        assert set(found) == {"InferenceService", "Service", "PodDisruptionBudget"}
        assert documents.version_of(found["InferenceService"]) == KEY

    def test_a_service_finds_its_pods(self, settings):
        found = objects(settings)
        labels = found["InferenceService"]["spec"]["predictor"]["labels"]
        assert found["Service"]["spec"]["selector"].items() <= labels.items()
        assert labels["part"] == "serving"

    def test_the_server_is_the_runtimes_but_for_what_is_the_models(self, settings):
        predictor = objects(settings)["InferenceService"]["spec"]["predictor"]
        assert "containers" not in predictor
        assert predictor["model"]["runtime"] == "modelyard-model-server"
        assert predictor["model"]["storageUri"] == "models:/bike demand/3"
        assert variables(predictor["model"])["MODELYARD_SERVED"]["name"] == "bike demand"
        (fetching,) = predictor["initContainers"]
        assert variables(fetching)["MODELYARD_FETCH"]["version"] == 3

    def test_as_many_replicas_as_wanted_are_there_at_once(self, settings):
        found = objects(settings, replicas=2, running=7)["InferenceService"]
        assert found["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
        assert (found["spec"]["predictor"]["minReplicas"], found["spec"]["predictor"]["maxReplicas"]) == (2, 2)

    def test_more_of_them_are_for_its_autoscaler(self, settings):
        growing = settings.model_copy(update={"scaling": ScalingSettings(most_replicas=9, busy_percent=70)})
        found = objects(growing, replicas=2)["InferenceService"]
        assert found["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
        predictor = found["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["scaleTarget"]) == (2, 9, 70)

    @pytest.mark.parametrize(("asked", "limit"), [("100m", "1"), ("1", "1"), ("1500m", "1500m"), ("2", "2")])
    def test_the_limit_of_processor_time_is_never_less_than_what_is_asked_for(self, settings, asked, limit):
        own = settings.model_copy(update={"models": {"bike demand": ModelSettings(cpu=asked)}})
        resources = objects(own)["InferenceService"]["spec"]["predictor"]["model"]["resources"]
        assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == (asked, limit)
        assert resources["limits"]["memory"] == "256Mi"
