"""A platform that lets others in: TLS and keys, on every address of this machine."""

import ssl
import stat
import time
from pathlib import Path

import httpx
import psutil
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.support.credentials import certificate
from tests.support.local_platform import a_platform, succeeded


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The platform, and a client that trusts its certificate and has no key."""
    folder = tmp_path_factory.mktemp("tls")
    chain, private = certificate(folder)
    serving = {
        "kind": "process",
        "address": "0.0.0.0",
        "tls": {"certificate_file": str(chain), "private_key_file": str(private)},
        "api_keys": ["shop", "reports"],
    }
    with a_platform(serving_cluster=serving) as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        trust = ssl.create_default_context(cafile=str(chain))
        url = platform.descriptor.serving_cluster.url
        with httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=10) as client:
            yield platform, client


def key_of(platform, client):
    return platform.descriptor.serving_cluster.api_key_files[client].read_text().strip()


def test_the_address_that_is_shown_is_one_that_answers(guarded):
    platform, client = guarded
    assert platform.descriptor.serving_cluster.url.startswith("https://127.0.0.1:")
    assert client.get("/v2/health/live").json() == {"live": True}


def test_it_listens_on_every_address(guarded):
    _, client = guarded
    port = client.base_url.port
    shown = ssl.get_server_certificate(("127.0.0.2", port))
    assert shown == ssl.get_server_certificate(("127.0.0.1", port))


@pytest.mark.parametrize("client_name", ["shop", "reports"])
def test_each_client_has_a_key_and_nobody_gets_in_without(guarded, client_name):
    platform, client = guarded
    assert client.get("/v2").status_code == 401
    assert client.get("/v2", headers={"x-api-key": key_of(platform, client_name)}).json()["name"] == "modelyard"


def test_keys_lie_in_files_of_their_own(guarded):
    platform, _ = guarded
    path = platform.descriptor.serving_cluster.api_key_files["shop"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = key_of(platform, "shop")
    texts = [file for file in platform.folder.rglob("*") if file.is_file() and not file.is_symlink()]
    holding = {str(file.relative_to(platform.folder)) for file in texts if key.encode() in file.read_bytes()}
    assert holding == {f"secrets/{path.name}", "serving_cluster/envoy/api-keys.json"}


def test_neither_keys_nor_the_certificates_key_are_in_the_state_or_an_argument(guarded):
    platform, _ = guarded
    private = Path(platform.settings()["modelyard:serving_cluster"]["tls"]["private_key_file"]).read_text()
    secrets = [key_of(platform, "shop"), key_of(platform, "reports"), private.splitlines()[1]]
    exported = succeeded(platform.pulumi("stack", "export")).stdout
    arguments = "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    assert not any(secret in exported + arguments for secret in secrets)


def test_a_key_that_is_written_anew_takes_its_place_within_seconds(guarded):
    platform, client = guarded
    before = key_of(platform, "shop")
    platform.descriptor.serving_cluster.api_key_files["shop"].write_text("a-key-from-somewhere-else\n")
    deadline = time.monotonic() + 10
    while client.get("/v2", headers={"x-api-key": "a-key-from-somewhere-else"}).status_code != 200:
        assert time.monotonic() < deadline, "the new key was not taken within ten seconds"
        time.sleep(0.1)
    assert client.get("/v2", headers={"x-api-key": before}).status_code == 401


def test_grpc_needs_a_key_too(guarded):
    platform, client = guarded
    address, trust = (
        client.base_url.netloc.decode(),
        platform.settings()["modelyard:serving_cluster"]["tls"]["certificate_file"],
    )
    key = {"authorization": f"Bearer {key_of(platform, 'reports')}"}
    with triton.InferenceServerClient(address, ssl=True, root_certificates=trust) as asker:
        said = [refused_by(asker, headers) for headers in ({}, {"x-api-key": "wrong"}, key)]
    assert said == ["StatusCode.UNAUTHENTICATED", "StatusCode.UNAUTHENTICATED", "StatusCode.UNAVAILABLE"]


def refused_by(asker, headers):
    """How the router refuses; whoever is let in learns that nothing is deployed."""
    with pytest.raises(InferenceServerException) as error:
        asker.is_server_live(headers=headers)
    return error.value.status()


def test_another_up_changes_nothing(guarded):
    platform, client = guarded
    succeeded(platform.run("up", "--stack", platform.stack))
    assert client.get("/v2", headers={"x-api-key": key_of(platform, "reports")}).status_code == 200


def test_a_renewed_certificate_is_taken_within_seconds(guarded, tmp_path):
    platform, client = guarded
    fresh = certificate(tmp_path)
    names = platform.settings()["modelyard:serving_cluster"]["tls"]
    for path, key in zip(fresh, ("certificate_file", "private_key_file"), strict=True):
        Path(names[key]).write_text(path.read_text())
    deadline = time.monotonic() + 10
    while ssl.get_server_certificate(("127.0.0.1", client.base_url.port)) != fresh[0].read_text():
        assert time.monotonic() < deadline, "the new certificate was not taken within ten seconds"
        time.sleep(0.1)
