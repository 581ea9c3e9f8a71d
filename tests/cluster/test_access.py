"""Who gets in from outside: to MLflow through the Gateway, with a password, a token, or signed in elsewhere."""

import json
import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.cluster_platform import TRACKING_HOST, ClusterPlatform, said
from tests.support.clusters import Cluster
from tests.support.mlflow_paths import ARTIFACTS, CLOSED, CREATE, OUTSIDE, SEARCH, SOURCES
from tests.support.node import identity as identities
from tests.support.node.identity import Provider
from tests.support.waiting import eventually

CURRENT_USER = "/api/2.0/mlflow/users/current"


@pytest.fixture(scope="module", autouse=True)
def _names(names_are_found: None) -> None:
    pass


@pytest.fixture(scope="module")
def trust(platform: ClusterPlatform, provider: Provider) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(platform.authority))
    context.load_verify_locations(provider.authority)
    return context


@pytest.fixture(scope="module")
def open_site(trust: ssl.SSLContext) -> Callable[[], httpx.Client]:
    return lambda: httpx.Client(base_url=f"https://{TRACKING_HOST}", verify=trust, trust_env=False, timeout=30)


@pytest.fixture
def stranger(open_site: Callable[[], httpx.Client]) -> Iterator[httpx.Client]:
    with open_site() as client:
        yield client


@pytest.fixture
def admin(platform: ClusterPlatform, stranger: httpx.Client) -> httpx.Client:
    """Who may do everything."""
    stranger.auth = ("admin", platform.secret("tracking-server-admin", "password"))
    return stranger


@pytest.fixture(scope="module")
def signing_in(
    node: Cluster,
    platform: ClusterPlatform,
    references: dict[str, str],
    provider: Provider,
    open_site: Callable[[], httpx.Client],
) -> None:
    """The provider runs, and the Gateway has what it is known by there."""
    provider.start(node, references["tracking-server"])
    platform.kubectl("create", "secret", "generic", "oidc", f"--from-literal=client-secret={provider.secret}")

    def sent_there() -> bool:
        with open_site() as client:
            answer = client.get("/")
        return answer.status_code == 302 and answer.headers["location"].startswith(f"https://{identities.HOST}/")

    def always() -> bool:
        return all(sent_there() for _ in range(20))  # whichever of the two routers a new connection leads to

    eventually(always, seconds=60, what="the Gateway sends people to sign in")


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "login", [{"authorization": "Basic YWRtaW46cGFzc3dvcmQxMjM0"}, {"authorization": "Bearer e30.e30.e30"}]
)
def test_nothing_of_mlflow_answers_to_a_wrong_login(
    stranger: httpx.Client, method: str, path: str, login: dict[str, str]
) -> None:
    answer = stranger.request(method, path, headers=login, json={} if method != "GET" else None)
    assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_who_has_no_login_is_sent_to_sign_in(stranger: httpx.Client, signing_in: None, method: str, path: str) -> None:
    answer = stranger.request(method, path, json={} if method != "GET" else None)
    assert answer.status_code == 302, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
    assert answer.headers["location"].startswith(f"https://{identities.HOST}/authorize?")


def test_who_signs_in_elsewhere_is_that_user_of_mlflow(stranger: httpx.Client, signing_in: None) -> None:
    arrived = stranger.get(CURRENT_USER, follow_redirects=True)
    assert arrived.status_code == 200, arrived.text
    assert [str(step.url.host) for step in arrived.history] == [TRACKING_HOST, identities.HOST, TRACKING_HOST]
    user = arrived.json()["user"]
    assert (user["username"], user["is_admin"]) == (identities.USER, False)
    assert stranger.get(SEARCH).status_code == 200


def test_another_host_leads_nowhere(admin: httpx.Client) -> None:
    assert admin.get(SEARCH).status_code == 200
    assert admin.get(SEARCH, headers={"Host": "evil.test"}).status_code == 404


def test_a_foreign_origin_is_refused(admin: httpx.Client) -> None:
    answer = admin.post(CREATE, json={"name": "x"}, headers={"Origin": "https://evil.test"})
    assert answer.status_code == 403, answer.text


def test_its_own_pages_may_call_the_server(admin: httpx.Client) -> None:
    answer = admin.post(CREATE, json={"name": "by a page"}, headers={"Origin": f"https://{TRACKING_HOST}"})
    assert answer.status_code == 200, answer.text


def test_pages_cannot_be_framed(admin: httpx.Client) -> None:
    assert admin.get("/").headers["x-frame-options"] == "SAMEORIGIN"


def test_jobs_are_off_even_for_the_admin(admin: httpx.Client) -> None:
    assert admin.post("/ajax-api/3.0/jobs", json={"job_name": "x", "params": {}}).status_code >= 400


def test_model_versions_from_elsewhere_are_refused(admin: httpx.Client) -> None:
    model = {"name": "from-elsewhere"}
    assert admin.post("/api/2.0/mlflow/registered-models/create", json=model).status_code == 200
    for source in SOURCES:
        answer = admin.post("/api/2.0/mlflow/model-versions/create", json=model | {"source": source})
        assert answer.status_code == 400, f"{source}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("path", OUTSIDE)
def test_artifact_paths_cannot_leave_the_bucket(admin: httpx.Client, path: str) -> None:
    assert not admin.get(f"{ARTIFACTS}/{path}").is_success
    assert not admin.put(f"{ARTIFACTS}/{path}", content=b"x").is_success


def test_people_and_programs_are_managed_from_outside(platform: ClusterPlatform, stranger: httpx.Client) -> None:
    password = json.loads(said(platform.run("users", "add", "ci", "--json")))["password"]
    assert stranger.get(CURRENT_USER, auth=("ci", password)).json()["user"]["username"] == "ci"
    token = said(platform.run("users", "token", "ci", "--days", "1")).strip()
    assert stranger.get(CURRENT_USER, headers={"authorization": f"Bearer {token}"}).json()["user"]["username"] == "ci"
    assert {"name": "modelyard-reader", "admin": False} in json.loads(said(platform.run("users", "list", "--json")))
    said(platform.run("users", "remove", "ci"))
    eventually(
        lambda: stranger.get(CURRENT_USER, headers={"authorization": f"Bearer {token}"}).status_code == 401,
        seconds=30,
        what="the end of a removed user's token",
    )
    refused = platform.run("users", "remove", "modelyard-reader")
    assert refused.returncode == 1
    assert "the platform's own user" in refused.stderr


def test_deleted_runs_are_collected_when_their_time_has_come(platform: ClusterPlatform) -> None:
    platform.kubectl("create", "job", "collection-now", "--from=cronjob/tracking-server-collection")
    platform.kubectl("wait", "job/collection-now", "--for=condition=Complete", "--timeout=120s")
    assert "deleted for good: 0 runs, 0 experiments" in platform.kubectl("logs", "job/collection-now")
    platform.kubectl("delete", "job", "collection-now")
