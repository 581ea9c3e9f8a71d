"""Facts about the edge and the serving cluster of a platform in a cluster."""

import json

import pytest

from modelyard.errors import ModelyardError
from modelyard.serving.kubernetes.settings import ControllerSettings
from tests.infra.test_settings import cluster_config, refused
from tests.support.credentials import certificate

EDGE = {"kind": "gateway_api", "domain": "ml.example.com"}
SERVING = {"kind": "kubernetes", "open": True}


@pytest.fixture
def made(registered_cluster):
    """Runs the program with some parts changed; returns its objects by kind and name."""

    def run(**changes):
        return {(resource.kind, resource.name): resource.inputs for resource in registered_cluster(**changes)}

    return run


def agent(objects):
    """The settings that the serving agent reads."""
    return ControllerSettings.model_validate_json(objects["ConfigMap", "serving-agent"]["data"]["settings.json"])


def listener(objects):
    (found,) = objects["Gateway", "edge"]["spec"]["listeners"]
    return found


def test_passwords_do_not_go_over_the_network_as_they_are(tmp_path):
    said = refused(cluster_config(edge=EDGE), tmp_path)
    assert "there is no `tls`, and passwords would go over the network as they are" in said


def test_plain_requests_have_to_be_asked_for(made):
    assert listener(made(edge=EDGE | {"plain_http": True}))["protocol"] == "HTTP"


def test_a_certificate_and_none_at_once_are_refused(tmp_path):
    both = EDGE | {"plain_http": True, "tls": {"kind": "secret", "name": "c"}}
    assert "choose one of them" in refused(cluster_config(edge=both), tmp_path)


def test_a_given_certificate_is_the_listeners(made):
    found = listener(made(edge=EDGE | {"tls": {"kind": "secret", "name": "given"}}))
    assert (found["protocol"], found["port"]) == ("HTTPS", 443)
    assert found["tls"]["certificateRefs"] == [{"name": "given"}]


def test_an_issuer_is_asked_for_both_hosts(made):
    objects = made(
        edge=EDGE | {"tls": {"kind": "issuer", "name": "letsencrypt"}, "serving_host": "predict.example.com"}
    )
    spec = objects["Certificate", "edge-certificate"]["spec"]
    assert spec["dnsNames"] == ["mlflow.ml.example.com", "predict.example.com"]
    assert spec["issuerRef"] == {"kind": "ClusterIssuer", "name": "letsencrypt"}
    assert listener(objects)["tls"]["certificateRefs"] == [{"name": spec["secretName"]}]


def test_a_certificate_in_files_becomes_a_secret(made, tmp_path):
    chain, key = certificate(tmp_path)
    files = {"kind": "files", "certificate_file": str(chain), "private_key_file": str(key)}
    secret = made(edge=EDGE | {"tls": files})["Secret", "edge-certificate"]
    assert secret["type"] == "kubernetes.io/tls"
    assert "PRIVATE KEY" not in json.dumps({k: v for k, v in secret.items() if k != "stringData"})


def test_a_key_of_another_certificate_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chain, key = certificate(tmp_path / "a")[0], certificate(tmp_path / "b")[1]
    files = {"kind": "files", "certificate_file": str(chain), "private_key_file": str(key)}
    assert "edge.tls.private_key_file" in refused(cluster_config(edge=EDGE | {"tls": files}), tmp_path)


def test_both_parts_have_a_route_or_an_agent_that_makes_them(made):
    objects = made()
    assert objects["HTTPRoute", "tracking-server"]["spec"]["hostnames"] == ["mlflow.ml.example.com"]
    assert agent(objects).gateway.host == "models.ml.example.com"


def test_the_tracking_server_takes_the_host_of_the_edge(made):
    settings = json.loads(made()["ConfigMap", "tracking-server"]["data"]["settings.json"])
    assert "mlflow.ml.example.com" in settings["allowed_hosts"]


def test_without_an_edge_nothing_comes_in_from_outside(made):
    objects = made(edge=None, serving_cluster=None)
    assert not [key for key in objects if key[0] in ("Gateway", "HTTPRoute")]
    assert not [name for kind, name in objects if kind == "NetworkPolicy" and "router" in name]


def test_models_cannot_be_served_without_an_edge(tmp_path):
    config = cluster_config()
    del config["modelyard:edge"]
    assert "edge" in refused(config, tmp_path)


def test_another_controller_gets_no_objects_of_envoy_gateways(made):
    tls = {"kind": "secret", "name": "given"}
    assert ("BackendTrafficPolicy", "models") in made()
    objects = made(edge=EDGE | {"tls": tls, "policies": "none"}, serving_cluster=SERVING)
    assert not [key for key in objects if key[0] in ("BackendTrafficPolicy", "SecurityPolicy")]


def test_another_controller_cannot_be_told_of_keys(made):
    edge = EDGE | {"tls": {"kind": "secret", "name": "given"}, "policies": "none"}
    with pytest.raises(ModelyardError, match="keys and tokens are looked at by Envoy Gateway"):
        made(edge=edge)


def test_models_are_not_open_unless_that_is_asked_for(tmp_path, made):
    said = refused(cluster_config(serving_cluster={"kind": "kubernetes"}), tmp_path)
    assert "everybody would reach the models: set api_keys or jwt, or `open: true` if that is meant" in said
    both = refused(cluster_config(serving_cluster=SERVING | {"api_keys": ["a"]}), tmp_path)
    assert "choose one of api_keys and open" in both
    assert ("SecurityPolicy", "models") not in made(serving_cluster=SERVING)


def test_each_client_gets_a_key_and_model_servers_never_see_it(made):
    objects = made(serving_cluster={"kind": "kubernetes", "api_keys": ["shop", "reports"]})
    assert set(objects["Secret", "serving-cluster-api-keys"]["stringData"]["value"]) == {"shop", "reports"}
    spec = objects["SecurityPolicy", "models"]["spec"]
    assert spec["targetSelectors"] == objects["BackendTrafficPolicy", "models"]["spec"]["targetSelectors"]
    assert spec["apiKeyAuth"]["credentialRefs"] == [{"group": "", "kind": "Secret", "name": "serving-cluster-api-keys"}]
    assert spec["apiKeyAuth"]["sanitize"] is True


def test_an_issuers_tokens_are_asked_for(made, tmp_path):
    issuer = {"issuer": "https://login.test", "audiences": ["models"]}
    (tmp_path / "jwks.json").write_text('{"keys": [{"kty": "EC"}]}')
    objects = made(serving_cluster={"kind": "kubernetes", "jwt": issuer | {"jwks_file": str(tmp_path / "jwks.json")}})
    (provider,) = objects["SecurityPolicy", "models"]["spec"]["jwt"]["providers"]
    assert provider["audiences"] == ["models"]
    assert provider["localJWKS"]["valueRef"]["name"] == "models-jwks"
    assert objects["ConfigMap", "models-jwks"]["data"] == {"jwks": '{"keys": [{"kty": "EC"}]}'}
    url = "https://login.test/keys"
    objects = made(serving_cluster={"kind": "kubernetes", "jwt": issuer | {"jwks_url": url}})
    (provider,) = objects["SecurityPolicy", "models"]["spec"]["jwt"]["providers"]
    assert provider["remoteJWKS"] == {"uri": url}


def test_an_issuers_keys_come_from_one_place(tmp_path):
    issuer = {"issuer": "https://login.test", "audiences": ["models"]}
    said = refused(cluster_config(serving_cluster={"kind": "kubernetes", "jwt": issuer}), tmp_path)
    assert "the issuer's keys come from one of jwks_file and jwks_url" in said


def test_people_may_log_in_to_mlflow_with_an_issuers_tokens(made):
    jwt = {"issuer": "https://login.test", "audiences": ["mlflow"], "username_claim": "email"}
    objects = made(tracking_server={"kind": "kubernetes", "jwt": jwt | {"jwks_url": "https://login.test:8443/keys"}})
    settings = json.loads(objects["ConfigMap", "tracking-server"]["data"]["settings.json"])
    assert settings["issuer"]["jwks_url"] == "https://login.test:8443/keys"
    (egress,) = objects["NetworkPolicy", "from-tracking-server-to-outside"]["spec"]["egress"]
    assert egress["ports"] == [{"protocol": "TCP", "port": 8443}]


OIDC = {"issuer": "https://login.test", "client_id": "mlflow", "client_secret": "oidc"}
TLS = {"tls": {"kind": "secret", "name": "given"}}


def test_browsers_are_sent_to_sign_in_and_programs_are_not(made):
    jwt = {"issuer": "https://login.test", "audiences": ["mlflow"], "jwks_url": "https://login.test/keys"}
    objects = made(edge=EDGE | TLS | {"oidc": OIDC}, tracking_server={"kind": "kubernetes", "jwt": jwt})
    policy = objects["SecurityPolicy", "tracking-server"]["spec"]
    assert [target["name"] for target in policy["targetRefs"]] == ["tracking-server"]
    assert policy["oidc"]["clientSecret"]["name"] == "oidc"
    assert policy["oidc"]["forwardAccessToken"] is True
    (rule,) = objects["HTTPRoute", "tracking-server-programs"]["spec"]["rules"]
    assert rule["matches"][0]["headers"][0]["name"] == "authorization"


def test_nobody_signs_in_whom_mlflow_would_not_know(made):
    with pytest.raises(ModelyardError, match="the tracking server takes nobody's tokens"):
        made(edge=EDGE | TLS | {"oidc": OIDC})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policies": "none", "oidc": OIDC}, "policies is none"),
        ({"oidc": OIDC | {"issuer": "http://login.test"}}, "edge.oidc.issuer"),
        ({"oidc": OIDC | {"token_endpoint": "https://login.test/token"}}, "are set together"),
    ],
)
def test_a_provider_that_cannot_be(tmp_path, changes, words):
    assert words in refused(cluster_config(edge=EDGE | TLS | changes), tmp_path)


def test_the_command_in_the_tracking_servers_pod_knows_its_platform(made):
    document = json.loads(made()["ConfigMap", "tracking-server"]["data"]["descriptor.json"])
    assert document["tracking_server"]["username"] == "admin"
    assert document["tracking_server"]["url"] == "http://127.0.0.1:5000"


def test_only_the_fetching_container_sees_the_readers_password(made):
    spec = agent(made()).pod["spec"]
    mounts = {
        container["name"]: {mount["name"] for mount in container["volumeMounts"]} for container in spec["containers"]
    }
    assert "before" not in mounts["server"]
    (fetch,) = spec["initContainers"]
    assert "before" in {mount["name"] for mount in fetch["volumeMounts"]}
    (volume,) = (one for one in spec["volumes"] if one["name"] == "before")
    assert [source["secret"]["name"] for source in volume["projected"]["sources"]] == ["tracking-server-reader"]


def test_a_model_server_is_as_hardened_as_every_pod(made):
    pod = agent(made()).pod
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "@sha256:" in container["image"]
    assert pod["metadata"]["labels"]["modelyard.dev/uses-tracking-server"] == "true"
    assert "modelyard.dev/uses-artifact-store" not in pod["metadata"]["labels"]


def test_a_payload_log_needs_a_way_to_the_store_and_its_keys(made):
    pod = agent(made(serving_cluster=SERVING | {"payload_log": {"sample": 0.5}})).pod
    assert pod["metadata"]["labels"]["modelyard.dev/uses-artifact-store"] == "true"
    (server,) = pod["spec"]["containers"]
    recorded = json.loads(server["args"][server["args"].index("--payload-log") + 1])
    assert recorded["sample"] == 0.5
    assert {"/spool", "/run/secrets/modelyard"} <= {mount["mountPath"] for mount in server["volumeMounts"]}


def test_a_models_own_settings_reach_the_agent(made):
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    own = {"cpu": "2", "devices": {"nvidia.com/gpu": 1}, "tolerations": [toleration]}
    settings = agent(made(serving_cluster=SERVING | {"models": {"embeddings": own}, "most_replicas": 4}))
    assert settings.models["embeddings"].devices == {"nvidia.com/gpu": 1}
    assert settings.models["embeddings"].tolerations == (toleration,)
    assert settings.scaling.most_replicas == 4


def test_replicas_cannot_be_added_where_none_may_be(tmp_path):
    said = refused(cluster_config(serving_cluster=SERVING | {"requests_in_flight": 4}), tmp_path)
    assert "without most_replicas there are never more replicas" in said


def test_the_command_in_the_agents_pod_knows_its_platform(made):
    document = json.loads(made()["ConfigMap", "serving-agent"]["data"]["descriptor.json"])
    assert document["tracking_server"]["username"] == "modelyard-reader"
    assert document["serving_cluster"]["url"] == "https://models.ml.example.com"
    assert "artifact_store" not in document


def test_an_agent_of_kserves_has_rights_on_inference_services_instead(made):
    def may_make(objects):
        return {one for rule in objects["Role", "serving-agent"]["rules"] for one in rule["resources"]}

    usual, by_kserve = may_make(made()), may_make(made(serving_cluster=SERVING | {"kind": "kserve"}))
    assert usual - by_kserve == {"deployments", "horizontalpodautoscalers"}
    assert by_kserve - usual == {"inferenceservices"}


def test_kserve_is_handed_a_runtime_and_the_agent_the_rest(made):
    objects = made(serving_cluster=SERVING | {"kind": "kserve"})
    runtime = objects["ServingRuntime", "modelyard-model-server"]["spec"]
    (server,) = runtime["containers"]
    assert server["name"] == "kserve-container"
    assert server["image"].startswith("registry.example/model-server@sha256:")
    assert {volume["name"] for volume in runtime["volumes"]} >= {one["name"] for one in server["volumeMounts"]}
    settings = agent(objects)
    assert settings.runtime == "modelyard-model-server"
    assert "volumes" not in settings.pod["spec"]
    assert settings.pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_kserve_cannot_grow_by_requests_in_flight(tmp_path):
    growing = SERVING | {"kind": "kserve", "most_replicas": 4, "requests_in_flight": 8}
    assert "KServe's own autoscaler looks at processors alone" in refused(
        cluster_config(serving_cluster=growing), tmp_path
    )
