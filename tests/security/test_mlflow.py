"""What an operator of MLflow must close, tried from the outside on a real server as we start it."""

from collections.abc import Iterator
from importlib.metadata import version

import httpx
import pytest

from tests.support.local_platform import LocalPlatform, a_platform, succeeded

PARTS = {"serving_cluster": None, "monitoring": None}


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalPlatform]:
    """A tracking server with logins, and an origin that may call it."""
    with a_platform(
        tracking_server={"kind": "process", "auth": True, "cors_allowed_origins": ["http://notebook.test"]}, **PARTS
    ) as platform:
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


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


def test_the_server_is_at_least_the_safe_version():
    assert tuple(int(number) for number in version("mlflow").split(".")[:2]) >= (3, 17)


def test_the_generated_admin_may_log_in(client):
    assert client.get(SEARCH).status_code == 200


def test_the_default_password_is_refused(stranger):
    assert stranger.get(SEARCH, auth=("admin", "password1234")).status_code == 401
    assert stranger.get(SEARCH, auth=("admin", "password")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SEARCH),
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=1"),
        ("POST", "/ajax-api/3.0/jobs/search"),
        ("POST", "/ajax-api/3.0/jobs"),
        ("GET", "/ajax-api/3.0/jobs/1"),
        ("POST", "/v1/traces"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/note.txt"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/x"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/complete/0/x"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/abort/0/x"),
        ("GET", "/get-artifact?run_id=x&path=y"),
        ("GET", "/model-versions/get-artifact?name=x&version=1&path=y"),
        ("POST", "/graphql"),
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("GET", "/api/2.0/mlflow/users/get?username=admin"),
        ("GET", "/metrics"),
    ],
)
def test_nothing_but_health_answers_without_credentials(stranger, method, path):
    answer = stranger.request(method, path, json={} if method != "GET" else None)
    assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text[:200]}"


def test_health_answers_without_credentials(stranger):
    assert stranger.get("/health").text == "OK"


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
    guarded.change(tracking_server=tracking | {"auth": False})
    succeeded(guarded.run("up", "--stack", guarded.stack))
    assert search() == 200
    guarded.change(tracking_server=tracking)
    succeeded(guarded.run("up", "--stack", guarded.stack))
    password = guarded.descriptor.tracking_server.password_file.read_text().strip()
    assert search() == 401
    assert search(auth=("admin", password)) == 200
