"""Who may ask a real Envoy."""

import socket
import ssl
import stat
import time

import httpx
import pytest

from modelyard.errors import ModelyardError
from modelyard.processes.ports import any_free_port
from modelyard.serving.clusters import Endpoint, VersionEndpoints
from modelyard.serving.router import Router
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
        path.write_text(f"the-key-of-{name}\n")
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
        {"x-api-key": "the-key-of-alic"},
        {"authorization": "Bearer the-key-of-carol"},
        {"authorization": "Basic dGhlLWtleS1vZi1hbGljZQ=="},
        {"x-modelyard-client": "alice"},
    ],
)
@pytest.mark.parametrize("path", [ASK, "/invocations", "/v2/models/bike", "/v2", "/nothing/here"])
def test_without_a_valid_key_nothing_is_said(keyed, path, headers):
    answer = keyed[2].post(path, json={}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json")
    assert "x-api-key: KEY" in answer.json()["error"]
    assert answer.json()["request_id"]


@pytest.mark.parametrize("headers", [{"x-api-key": "the-key-of-alice"}, {"authorization": "Bearer the-key-of-alice"}])
def test_a_valid_key_opens_and_is_kept_from_the_model_server(keyed, upstream, headers):
    answer = keyed[2].post(ASK, json={}, headers=headers | {"x-modelyard-client": "somebody else"})
    assert answer.status_code == 200, answer.text
    seen = {name.lower(): value for name, value in upstream.headers.items()}
    assert seen["x-modelyard-client"] == "alice"
    assert "the-key-of-alice" not in str(seen)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_a_load_balancer_needs_no_key(keyed, path):
    assert keyed[2].get(path).status_code == 200


def test_a_refusal_says_how_to_ask_and_not_what_is_deployed(keyed):
    answer, nothing = (keyed[2].post(path, json={}) for path in (ASK, "/v2/models/nothing/infer"))
    assert answer.headers["www-authenticate"] == 'Bearer realm="modelyard"'
    assert answer.headers.keys() == nothing.headers.keys()
    assert answer.json()["error"] == nothing.json()["error"]


def test_keys_are_not_shown_by_the_admin_interface(keyed):
    dump = httpx.get(f"http://127.0.0.1:{keyed[1].admin_port}/config_dump?include_eds", trust_env=False).text
    assert "api_key_auth" in dump
    assert "the-key-of" not in dump
    assert keyed[1].tls.private_key_file.read_text().splitlines()[1] not in dump


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
    holding = [path for path in folder.rglob("*") if path.is_file() and "the-key-of-alice" in path.read_text()]
    assert [path.name for path in holding] == ["api-keys.json"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600


def test_a_new_key_replaces_the_old_one_without_a_restart(keyed, upstream):
    router, settings, client = keyed
    settings.api_keys["bob"].write_text("a-key-from-elsewhere\n")
    router.publish_if_new()
    assert eventually(
        lambda: client.post(ASK, json={}, headers={"x-api-key": "a-key-from-elsewhere"}).status_code == 200
    )
    assert client.post(ASK, json={}, headers={"x-api-key": "the-key-of-bob"}).status_code == 401
    assert client.post(ASK, json={}, headers={"x-api-key": "the-key-of-alice"}).status_code == 200


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("the-key-of-alice", "its key is the same as that of alice"),
        ("short", "does not hold one word of 16 or more characters"),
        ("one-key-of-many\nanother-of-them", "does not hold one word"),
        ("", "does not hold one word"),
    ],
)
def test_a_client_whose_key_is_not_good_is_turned_away_alone(keyed, caplog, key, why):
    router, settings, client = keyed
    settings.api_keys["bob"].write_text("the-key-of-bob-again\n")
    router.publish_if_new()
    assert eventually(lambda: asked_with(client, "the-key-of-bob-again") == 200)
    settings.api_keys["bob"].write_text(f"{key}\n")
    for _ in range(3):
        router.publish_if_new()
    assert eventually(lambda: asked_with(client, "the-key-of-bob-again") == 401)
    assert asked_with(client, "the-key-of-alice") == 200
    assert [record.message.startswith("bob is turned away: ") for record in caplog.records] == [True]
    assert why in caplog.text
    assert not key or key not in caplog.text + (settings.folder / "log").read_text()


def asked_with(client, key):
    return client.post(ASK, json={}, headers={"x-api-key": key}).status_code


def test_a_client_whose_key_is_gone_is_turned_away(keyed):
    router, settings, client = keyed
    assert client.post(ASK, json={}, headers={"x-api-key": "the-key-of-alice"}).status_code == 200
    key = settings.api_keys["alice"].read_text()
    settings.api_keys["alice"].unlink()
    router.publish_if_new()
    assert eventually(lambda: client.post(ASK, json={}, headers={"x-api-key": "the-key-of-alice"}).status_code == 401)
    settings.api_keys["alice"].write_text(key)
    router.publish_if_new()
    assert eventually(lambda: client.post(ASK, json={}, headers={"x-api-key": "the-key-of-alice"}).status_code == 200)


def written(path, content):
    path.write_text(content)


def moved(path, content):
    fresh = path.with_suffix(".fresh")
    fresh.write_text(content)
    fresh.replace(path)


@pytest.mark.parametrize("put", [written, moved])
def test_a_renewed_certificate_is_taken_once_its_key_is_there_too(keyed, tmp_path, caplog, put):
    router, settings, client = keyed
    chain, private = settings.tls.certificate_file, settings.tls.private_key_file
    before, (fresh, fresh_key) = shown(settings), certificate(tmp_path)
    put(chain, fresh.read_text())
    for _ in range(3):
        router.publish_if_new()
    assert [record.message for record in caplog.records] == [
        f"the certificate stays what it was: {private} is not the key of the certificate in {chain}"
    ]
    assert shown(settings) == before
    put(private, fresh_key.read_text())
    router.publish_if_new()
    assert eventually(lambda: shown(settings) == fresh.read_text())
    assert client.get("/v2/health/live").status_code == 200  # its connection goes on


def shown(settings):
    return ssl.get_server_certificate(("127.0.0.1", settings.port))


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ("", "are not a certificate and its key in PEM"),
        (None, "No such file"),
    ],
)
def test_without_a_certificate_envoy_is_not_even_started(tmp_path, chain, said):
    found, private = certificate(tmp_path)
    found.unlink() if chain is None else found.write_text(chain)
    router = Router(settings_in(tmp_path, tls=TlsSettings(certificate_file=found, private_key_file=private)))
    with pytest.raises(ModelyardError, match=f"certificate.json: the certificate .*{said}"):
        router.publish_if_new()


def test_keys_that_are_no_longer_asked_for_are_deleted(tmp_path):
    (tmp_path / "k").write_text("a-secret-of-some-length")
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


def test_a_token_in_the_address_is_refused(tokens):
    assert tokens[1].post(f"{ASK}?access_token={tokens[0].token()}", json={}).status_code == 401


def test_a_token_of_nobody_in_particular_names_no_client(tokens, upstream):
    headers = {"authorization": f"Bearer {tokens[0].token(sub=None)}", "x-modelyard-client": "alice", "x-api-key": "k"}
    assert tokens[1].post(ASK, json={}, headers=headers).status_code == 200
    assert not {"x-modelyard-client", "x-api-key", "authorization"} & {name.lower() for name in upstream.headers}


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


def test_without_keys_nobody_names_a_client(router, router_settings, upstream):
    deployed(router, upstream)
    with httpx.Client(base_url=f"http://127.0.0.1:{router_settings.port}", trust_env=False) as client:
        assert client.post(ASK, json={}, headers={"x-modelyard-client": "alice"}).status_code == 200
    assert "x-modelyard-client" not in {name.lower() for name in upstream.headers}


def eventually(holds, seconds=8):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False
