"""Who may ask a real Envoy."""

import socket
import ssl
import stat
import time

import httpx
import pytest

from modelyard.processes.ports import any_free_port
from modelyard.serving.clusters import Endpoint, VersionEndpoints
from modelyard.serving.routes import ModelRoute
from modelyard.serving.settings import JwtSettings, RouterSettings, TlsSettings
from tests.support.credentials import Issuer, certificate
from tests.unit.serving.conftest import Upstream, running

ASK = "/v2/models/bike/infer"


def settings_in(folder, **more):
    port = any_free_port()
    return RouterSettings(port=port, admin_port=any_free_port({port}), folder=folder / "envoy", **more)


def deployed(router, upstream):
    router.publish([VersionEndpoints("bike", 1, (Endpoint(upstream.port),))], [ModelRoute("bike", ((1, 100),))])


@pytest.fixture(scope="module")
def upstream():
    made = Upstream()
    yield made
    made.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, upstream):
    """TLS and the keys of two clients: the router, its settings, and a client without a key."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = {name: folder / name for name in ("alice", "bob")}
    for name, path in keys.items():
        path.write_text(f"key-of-{name}\n")
    chain, private = certificate(folder)
    tls = TlsSettings(certificate_file=chain, private_key_file=private)
    settings = settings_in(folder, tls=tls, api_keys=keys)
    with running(settings) as router:
        deployed(router, upstream)
        trust = ssl.create_default_context(cafile=str(chain))
        with httpx.Client(base_url=f"https://127.0.0.1:{settings.port}", verify=trust, trust_env=False) as client:
            yield router, settings, client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "wrong"},
        {"x-api-key": ""},
        {"x-api-key": "key-of-alic"},
        {"authorization": "Bearer key-of-carol"},
        {"authorization": "Basic a2V5LW9mLWFsaWNl"},
        {"x-modelyard-client": "alice"},
    ],
)
@pytest.mark.parametrize("path", [ASK, "/invocations", "/v2/models/bike", "/v2", "/nothing/here"])
def test_without_a_valid_key_nothing_is_said(keyed, path, headers):
    answer = keyed[2].post(path, json={}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json")
    assert "x-api-key: KEY" in answer.json()["error"]
    assert answer.json()["request_id"]


@pytest.mark.parametrize("headers", [{"x-api-key": "key-of-alice"}, {"authorization": "Bearer key-of-alice"}])
def test_a_valid_key_opens_and_is_kept_from_the_model_server(keyed, upstream, headers):
    answer = keyed[2].post(ASK, json={}, headers=headers | {"x-modelyard-client": "somebody else"})
    assert answer.status_code == 200, answer.text
    seen = {name.lower(): value for name, value in upstream.headers.items()}
    assert seen["x-modelyard-client"] == "alice"
    assert "key-of-alice" not in str(seen)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_a_load_balancer_needs_no_key(keyed, path):
    assert keyed[2].get(path).status_code == 200


def test_both_versions_of_http_are_spoken_over_tls(keyed):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for protocol in ("h2", "http/1.1"):
        context.set_alpn_protocols([protocol])
        with socket.create_connection(("127.0.0.1", keyed[1].port)) as plain:
            assert context.wrap_socket(plain).selected_alpn_protocol() == protocol


def test_plain_http_is_refused_where_there_is_tls(keyed):
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{keyed[1].port}/v2/health/live", trust_env=False)


def test_old_tls_is_refused(keyed):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
    with (
        socket.create_connection(("127.0.0.1", keyed[1].port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain)


def test_keys_are_in_a_file_of_their_own_that_nobody_else_may_read(keyed):
    folder = keyed[1].folder
    holding = [path for path in folder.rglob("*") if path.is_file() and "key-of-alice" in path.read_text()]
    assert [path.name for path in holding] == ["api-keys.json"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600


def test_a_new_key_replaces_the_old_one_without_a_restart(keyed, upstream):
    router, settings, client = keyed
    settings.api_keys["bob"].write_text("another-key\n")
    router.publish_if_new()
    assert eventually(lambda: client.post(ASK, json={}, headers={"x-api-key": "another-key"}).status_code == 200)
    assert client.post(ASK, json={}, headers={"x-api-key": "key-of-bob"}).status_code == 401
    assert client.post(ASK, json={}, headers={"x-api-key": "key-of-alice"}).status_code == 200


def test_a_client_whose_key_is_gone_is_turned_away(keyed):
    router, settings, client = keyed
    assert client.post(ASK, json={}, headers={"x-api-key": "key-of-alice"}).status_code == 200
    key = settings.api_keys["alice"].read_text()
    settings.api_keys["alice"].unlink()
    router.publish_if_new()
    assert eventually(lambda: client.post(ASK, json={}, headers={"x-api-key": "key-of-alice"}).status_code == 401)
    settings.api_keys["alice"].write_text(key)
    router.publish_if_new()
    assert eventually(lambda: client.post(ASK, json={}, headers={"x-api-key": "key-of-alice"}).status_code == 200)


def test_a_renewed_certificate_is_taken_without_a_restart(keyed):
    def shown():
        return ssl.get_server_certificate(("127.0.0.1", keyed[1].port))

    before = shown()
    certificate(keyed[1].tls.certificate_file.parent)
    assert eventually(lambda: shown() != before)
    assert shown() == keyed[1].tls.certificate_file.read_text()


def test_keys_that_are_no_longer_asked_for_are_deleted(tmp_path):
    (tmp_path / "k").write_text("secret")
    from modelyard.serving.router import Router

    guarded = settings_in(tmp_path, api_keys={"alice": tmp_path / "k"})
    Router(guarded).publish_if_new()
    assert (guarded.folder / "api-keys.json").exists()
    Router(guarded.model_copy(update={"api_keys": {}})).publish_if_new()
    assert not (guarded.folder / "api-keys.json").exists()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory, upstream):
    """An issuer whose tokens are asked for, and a client without one."""
    folder = tmp_path_factory.mktemp("tokens")
    issuer, file = Issuer(), folder / "jwks.json"
    file.write_text(issuer.jwks())
    settings = settings_in(folder, jwt=JwtSettings(issuer=issuer.name, audiences=("models",), jwks_file=file))
    with running(settings) as router:
        deployed(router, upstream)
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", trust_env=False) as client:
            yield issuer, client, file, router


def asked(client, token):
    return client.post(ASK, json={}, headers={"authorization": f"Bearer {token}"})


def test_a_valid_token_opens_and_is_kept_from_the_model_server(tokens, upstream):
    issuer, client, *_ = tokens
    answer = asked(client, issuer.token())
    assert answer.status_code == 200, answer.text
    seen = {name.lower(): value for name, value in upstream.headers.items()}
    assert (seen["x-modelyard-client"], "authorization" in seen) == ("alice", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"aud": "others"},
        {"iss": "https://elsewhere.test"},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_token_that_is_not_good_here_is_refused(tokens, wrong):
    answer = asked(tokens[1], tokens[0].token(**wrong))
    assert answer.status_code in (401, 403), answer.text
    assert "token of https://issuer.test" in answer.json()["error"]


def test_a_token_of_somebody_else_is_refused(tokens):
    assert asked(tokens[1], Issuer().token()).status_code == 401
    assert asked(tokens[1], "no.token.atall").status_code == 401
    assert tokens[1].post(ASK, json={}).status_code == 401


def test_health_needs_no_token(tokens):
    assert tokens[1].get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("damaged", ["", "{}", '{"keys": []}', "[1]"])
def test_damaged_keys_of_an_issuer_change_nothing(tokens, damaged):
    issuer, client, file, router = tokens
    good = file.read_text()
    file.write_text(damaged)
    router.publish_if_new()
    time.sleep(0.2)
    assert asked(client, issuer.token()).status_code == 200
    file.write_text(good)


def test_an_issuer_that_changes_its_key_is_followed(tokens):
    _, client, file, router = tokens
    after = Issuer()
    file.write_text(after.jwks())
    router.publish_if_new()
    assert eventually(lambda: asked(client, after.token()).status_code == 200)


def eventually(holds, seconds=8):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False
