"""What an operator of MLflow must close, tried from the outside on a real server as we start it."""

import json
from collections.abc import Iterator
from importlib.metadata import version

import httpx
import mlflow
import pytest

from tests.support.credentials import Issuer
from tests.support.local_platform import LocalPlatform, a_platform, succeeded
from tests.support.mlflow_paths import CLOSED, SEARCH
from tests.support.waiting import eventually

ISSUER = Issuer()
PARTS = {"serving_cluster": None, "monitoring": None}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A tracking server with logins, an issuer whose tokens it takes, and an origin that may call it."""
    keys = tmp_path_factory.mktemp("issuer") / "jwks.json"
    keys.write_text(ISSUER.jwks())
    settings = {
        "kind": "process",
        "auth": True,
        "jwt": {"issuer": ISSUER.name, "audiences": ["mlflow"], "jwks_file": str(keys)},
        "cors_allowed_origins": ["http://notebook.test"],
    }
    with a_platform(tracking_server=settings, **PARTS) as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


@pytest.fixture
def client(guarded: LocalPlatform) -> Iterator[httpx.Client]:
    tracking = guarded.descriptor.tracking_server
    assert tracking is not None
    assert tracking.password_file is not None
    login = (str(tracking.username), tracking.password_file.read_text().strip())
    with httpx.Client(base_url=tracking.url, auth=login, trust_env=False) as client:
        yield client


@pytest.fixture
def stranger(guarded: LocalPlatform) -> Iterator[httpx.Client]:
    tracking = guarded.descriptor.tracking_server
    assert tracking is not None
    with httpx.Client(base_url=tracking.url, trust_env=False) as client:
        yield client


def test_the_server_is_at_least_the_safe_version():
    assert tuple(int(number) for number in version("mlflow").split(".")[:2]) >= (3, 17)


def test_the_generated_admin_may_log_in(client):
    assert client.get(SEARCH).status_code == 200


def test_the_default_password_is_refused(stranger):
    assert stranger.get(SEARCH, auth=("admin", "password1234")).status_code == 401
    assert stranger.get(SEARCH, auth=("admin", "password")).status_code == 401


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_but_health_answers_without_credentials(stranger, method, path):
    answer = stranger.request(method, path, json={} if method != "GET" else None)
    assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text[:200]}"


def test_health_answers_without_credentials(stranger):
    assert stranger.get("/health").text == "OK"


@pytest.fixture(scope="module")
def ada(guarded: LocalPlatform) -> Iterator[str]:
    """A user's password."""
    added = json.loads(succeeded(guarded.run("users", "add", "ada", "--json")).stdout)
    yield added["password"]
    succeeded(guarded.run("users", "remove", "ada"))


def test_users_are_listed_with_the_platforms_own(guarded, ada):
    listed = json.loads(succeeded(guarded.run("users", "list", "--json")).stdout)
    assert listed == [{"name": "ada", "admin": False}, {"name": "admin", "admin": True}]


def test_a_users_password_is_a_login_and_a_new_one_ends_it(guarded, stranger):
    first = json.loads(succeeded(guarded.run("users", "add", "grace", "--json")).stdout)["password"]
    second = json.loads(succeeded(guarded.run("users", "password", "grace", "--json")).stdout)["password"]
    assert stranger.get(SEARCH, auth=("grace", first)).status_code == 401
    assert stranger.get(SEARCH, auth=("grace", second)).status_code == 200
    succeeded(guarded.run("users", "remove", "grace"))


def test_a_user_may_read_but_not_manage_users(stranger, ada):
    assert stranger.get(SEARCH, auth=("ada", ada)).status_code == 200
    added = stranger.post(
        "/api/2.0/mlflow/users/create", json={"username": "x", "password": "y" * 12}, auth=("ada", ada)
    )
    assert added.status_code == 403


def test_an_administrator_may_be_made_and_unmade(guarded, ada):
    def admins():
        return [one["name"] for one in json.loads(guarded.run("users", "list", "--json").stdout) if one["admin"]]

    succeeded(guarded.run("users", "admin", "ada"))
    assert admins() == ["ada", "admin"]
    succeeded(guarded.run("users", "admin", "ada", "--revoke"))
    assert admins() == ["admin"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("remove", "nobody"), "there is no user 'nobody'"),
        (("remove", "admin"), "the platform's own user"),
        (("token", "admin"), "the platform's own user"),
        (("add", "admin"), "there is a user 'admin' already"),
    ],
)
def test_users_that_cannot_be_had_are_said_to(guarded, arguments, words):
    done = guarded.run("users", *arguments)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr


def test_mlflows_client_logs_a_run_with_a_token(guarded, ada, monkeypatch):
    token = succeeded(guarded.run("users", "token", "ada", "--days", "1")).stdout.strip()
    assert token.count(".") == 2
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    client = mlflow.MlflowClient(guarded.descriptor.tracking_server.url)
    run = client.create_run(client.create_experiment("by token"))
    client.log_text(run.info.run_id, "a note", "note.txt")
    assert client.get_run(run.info.run_id).info.user_id
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["note.txt"]


def test_a_removed_users_token_is_worthless_within_seconds(guarded, stranger):
    succeeded(guarded.run("users", "add", "temp"))
    token = succeeded(guarded.run("users", "token", "temp")).stdout.strip()

    def asked():
        return stranger.get(SEARCH, headers={"Authorization": f"Bearer {token}"}).status_code

    assert asked() == 200
    succeeded(guarded.run("users", "remove", "temp"))
    eventually(lambda: asked() == 401, seconds=30, what="the end of a removed user's token")


def test_a_trusted_issuers_token_is_a_login(guarded, stranger):
    def asked(sub="lin@example.com", **claims):
        token = ISSUER.token(aud="mlflow", sub=sub, **claims)
        return stranger.get("/api/2.0/mlflow/users/current", headers={"Authorization": f"Bearer {token}"})

    assert asked().json()["user"]["username"] == "lin@example.com"
    assert asked(exp=1).status_code == 401
    assert asked(sub="admin").status_code == 401
    succeeded(guarded.run("users", "remove", "lin@example.com"))


def test_jobs_are_off_even_for_the_admin(client):
    answer = client.post("/ajax-api/3.0/jobs", json={"job_name": "x", "params": {}})
    assert answer.status_code >= 400


def test_a_foreign_host_header_is_refused(client):
    assert client.get(SEARCH, headers={"Host": "evil.test"}).status_code == 403


def test_a_foreign_origin_is_refused(client):
    answer = client.post(
        "/api/2.0/mlflow/experiments/create", json={"name": "x"}, headers={"Origin": "http://evil.test"}
    )
    assert answer.status_code == 403


def test_an_allowed_origin_is_not_refused(client):
    headers = {"Origin": "http://notebook.test"}
    assert client.post("/api/2.0/mlflow/experiments/create", json={"name": "y"}, headers=headers).status_code == 200


def test_pages_cannot_be_framed(client):
    assert client.get("/").headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc", "s3://mlflow/0", "http://127.0.0.1/", "models:/x/1"])
def test_a_model_version_from_elsewhere_is_refused(client, source):
    client.post("/api/2.0/mlflow/registered-models/create", json={"name": "m"})
    answer = client.post("/api/2.0/mlflow/model-versions/create", json={"name": "m", "source": source})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/secrets", "0/%252e%252e/x"])
def test_artifact_paths_cannot_leave_the_bucket(client, path):
    assert client.get(f"/api/2.0/mlflow-artifacts/artifacts/{path}").status_code in (400, 404, 500)
    assert client.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=b"x").status_code >= 400


def test_the_printed_environment_logs_in_without_printing_the_password(guarded):
    said = succeeded(guarded.run("env")).stdout
    password = guarded.descriptor.tracking_server.password_file.read_text().strip()
    assert "MLFLOW_TRACKING_PASSWORD" in said
    assert password not in said


def test_turning_auth_off_and_on_again_keeps_the_admin(guarded):
    def search(**auth):
        return httpx.get(f"{guarded.descriptor.tracking_server.url}{SEARCH}", trust_env=False, **auth).status_code

    tracking = guarded.settings()["modelyard:tracking_server"]
    guarded.change(tracking_server={"kind": "process"})
    succeeded(guarded.run("up", "--stack", guarded.stack))
    assert search() == 200
    guarded.change(tracking_server=tracking)
    succeeded(guarded.run("up", "--stack", guarded.stack))
    password = guarded.descriptor.tracking_server.password_file.read_text().strip()
    assert search() == 401
    assert search(auth=("admin", password)) == 200
