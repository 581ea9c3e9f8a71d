"""What is in the images, and that they run as a restricted pod runs them."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from imaging import base, build
from tests.images.conftest import BUILT
from tests.support import saved_models
from tests.support.waiting import eventually

SETTINGS = ("PIP_", "UV_", "GOPROXY", "GONOSUM", "GOFLAGS", "GOPRIVATE", "MODELYARD_TOOLS_MIRROR")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", BUILT)
def test_the_user_is_no_name_and_not_root(image, name):
    assert image(name).archive.config["config"]["User"] == "10001:10001"


@pytest.mark.parametrize("name", BUILT)
def test_nothing_of_this_machine_is_in_the_configuration(image, name):
    archive = image(name).archive
    said = json.dumps([archive.manifest, archive.config])
    values = {value for key, value in os.environ.items() if key.startswith(SETTINGS) and len(value) > 3}
    values |= {word for value in values for word in value.split() if "/" in word}
    assert not [value for value in (*values, *SETTINGS, socket.gethostname() + ".") if value in said]


@pytest.mark.parametrize("name", BUILT)
def test_nothing_of_this_machine_is_in_the_files(image, name):
    root = image(name).archive.root
    for file in ("etc/pip.conf", "etc/hostname", "etc/resolv.conf", "build", "root/.cache", "root/.config"):
        assert not (root / file).exists()


def test_the_base_trusts_debians_authorities_alone(image):
    bundle = (image("agent").archive.root / "etc/ssl/certs/ca-certificates.crt").read_text()
    certificates = image("agent").archive.root / "usr/share/ca-certificates/mozilla"
    assert bundle.count("BEGIN CERTIFICATE") == len(list(certificates.iterdir()))


@pytest.mark.parametrize("name", BUILT)
def test_the_sbom_is_valid_and_the_same_inside(image, archives, name):
    beside = (archives / f"{name}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(beside) is None
    assert (image(name).archive.root / "usr/share/doc/modelyard/sbom.cdx.json").read_text() == beside


def test_the_sbom_names_what_is_installed(image, archives):
    purls = {component["purl"] for component in json.loads((archives / "agent.cdx.json").read_text())["components"]}
    packages = (image("agent").archive.root / "opt/modelyard/lib/python3.11/site-packages").glob("*.dist-info")
    installed = {folder.name.removesuffix(".dist-info") for folder in packages}
    named = {purl.removeprefix("pkg:pypi/").replace("-", "_").replace("@", "-") for purl in purls if "pypi" in purl}
    assert {name.lower() for name in installed} == {name.lower() for name in named}


def test_bytecode_is_there_and_never_checked(image):
    root = image("agent").archive.root
    compiled = next(root.glob("opt/modelyard/**/modelyard/__pycache__/cli.*.pyc"))
    assert compiled.read_bytes()[4] == 1  # a hash, not to be checked: PEP 552


def test_the_command_line_runs_on_a_read_only_root(image):
    done = image("agent").run("--help")
    assert done.returncode == 0, done.stderr
    assert "deploy" in done.stdout


def test_the_agent_runs_on_a_read_only_root(image):
    python = ("/opt/modelyard/bin/python", "-m", "modelyard.serving.agent")
    done = image("agent").run("/nowhere.json", entrypoint=python)
    assert (done.returncode, "/nowhere.json does not hold the settings" in done.stderr) == (2, True)


def test_the_gateway_answers(image, tmp_path):
    os.chown(tmp_path, 10001, 10001)
    keys = {"ROOT_ACCESS_KEY": "key", "ROOT_SECRET_KEY": "secret"}
    gateway = image("versitygw").start("--port", ":7070", "posix", "/data", env=keys, volumes={"/data": tmp_path})
    eventually(lambda: _status(gateway, "http://127.0.0.1:7070") == "400", seconds=20)  # nobody signed it


@pytest.mark.parametrize("kind", [saved_models.sklearn_numbers, saved_models.lightgbm_booster, saved_models.onnx])
def test_the_model_server_serves(image, tmp_path, kind):
    model = kind(tmp_path / "model")
    server = image("model-server").start("--model", "it=/model", "--port", "8080", volumes={"/model": model})
    eventually(lambda: _status(server, "http://127.0.0.1:8080/v2/health/ready") == "200", seconds=90)
    assert server.stop("TERM") == 0


def test_the_tracking_server_answers_from_its_database(image):
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": "sqlite:////tmp/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    uvicorn = ["/opt/modelyard/bin/python", "-m", "uvicorn"]
    arguments = ["--host", "127.0.0.1", "--port", "5000", "mlflow.server.fastapi_app:app"]
    server = image("tracking-server").start(*arguments, entrypoint=uvicorn, env=settings)
    search = "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1"
    eventually(lambda: _status(server, search) == "200", seconds=90)
    assert server.stop("TERM") == 0


def test_the_tracking_server_does_not_start_open(image):
    done = image("tracking-server").run()
    assert done.returncode != 0
    assert "/etc/modelyard/settings.json" in done.stderr


def test_the_tracking_server_has_pg_dump_of_the_databases_version(image):
    dump = image("tracking-server").run("--version", entrypoint=["/opt/modelyard/bin/pg_dump"])
    server = image("postgresql").run("--version", entrypoint=["/opt/postgresql/bin/postgres"])
    assert dump.stdout.split()[-1] == server.stdout.split()[-1]


@pytest.fixture
def volume(tmp_path):
    """A data volume that the image's user may write to, and the file of a password."""
    data, run = tmp_path / "volume", tmp_path / "run"
    (data / "lost+found").mkdir(parents=True)
    os.chown(data, 10001, 10001)
    (run / "secrets").mkdir(parents=True)
    (run / "secrets" / "password").write_text("correct horse\n")
    return {"/var/lib/postgresql/data": data, "/run": run}


def _database(image, volume):
    server = image("postgresql").start(env={"POSTGRES_PASSWORD_FILE": "/run/secrets/password"}, volumes=volume)
    eventually(lambda: "accepting" in _try(server, "pg_isready", "-h", "127.0.0.1"), seconds=60)
    return server


def _query(server, sql, password="correct horse"):
    address = f"postgresql://postgres:{password.replace(' ', '%20')}@127.0.0.1/postgres"
    return _try(server, "psql", "-At", address, "-c", sql)


def test_the_database_is_made_once_and_kept(image, volume):
    first = _database(image, volume)
    assert _query(first, "CREATE TABLE kept AS SELECT 1 AS one").startswith("SELECT 1")
    assert first.stop("INT") == 0
    second = _database(image, volume)
    assert _query(second, "SELECT one FROM kept") == "1\n"


def test_a_snapshot_comes_back_as_the_docs_say(image, volume):
    """By the page's own commands; pods have the password where this container has it."""
    secret = volume["/run"] / "secrets" / "modelyard" / "superuser"
    secret.parent.mkdir()
    secret.write_text("correct horse\n")
    rename, restore = re.findall(r"^\$postgres '(.*?)'", (ROOT / "docs" / "kubernetes.md").read_text(), re.MULTILINE)
    server = _database(image, volume)
    for sql in ("CREATE ROLE mlflow LOGIN", "CREATE DATABASE mlflow OWNER mlflow"):
        assert "ERROR" not in _query(server, sql)
    password = restore.partition(" pg_restore")[0]
    as_postgres = f"{password} psql --host=127.0.0.1 --username=postgres mlflow -At -c"
    dump = f"{password} pg_dump --host=127.0.0.1 --username=postgres --format=custom mlflow > /tmp/dump"
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'runs'"
    server.run("sh", "-c", f"{as_postgres} \"SET ROLE mlflow; CREATE TABLE runs AS SELECT 'kept' AS name\" && {dump}")
    server.run("sh", "-c", f'{as_postgres} "ALTER TABLE runs ADD COLUMN newer int; CREATE TABLE newer ()"')
    server.run("sh", "-c", rename)
    server.run("sh", "-c", f"{restore} < /tmp/dump")
    assert server.run("sh", "-c", f'{as_postgres} "SELECT * FROM runs"') == "kept\n"
    assert server.run("sh", "-c", f'{as_postgres} "{owner}"') == "mlflow\n"


def test_the_database_has_checksums_and_asks_for_the_password(image, volume):
    server = _database(image, volume)
    assert _query(server, "SHOW data_checksums") == "on\n"
    assert "password authentication failed" in _query(server, "SELECT 1", password="wrong")
    assert "no password supplied" in _try(server, "psql", "-w", "-h", "/tmp", "-U", "postgres", "-c", "SELECT 1")


def test_a_database_without_a_password_says_where_it_looked(image, tmp_path):
    os.chown(tmp_path, 10001, 10001)
    done = image("postgresql").run(volumes={"/var/lib/postgresql/data": tmp_path})
    assert done.returncode == 1
    assert "no password for its superuser in /run/secrets/postgresql/password" in done.stderr


def test_a_volume_that_is_not_writable_says_what_to_set(image, tmp_path):
    done = image("postgresql").run(volumes={"/var/lib/postgresql/data": tmp_path})
    assert done.returncode == 1
    assert "set `fsGroup: 10001`" in done.stderr


def test_a_second_build_does_nothing(archives):
    command = [sys.executable, str(ROOT / "tools" / "images.py"), "--base-image", base.OWN, *BUILT]
    before = [(archives / f"{name}.tar").stat().st_mtime_ns for name in BUILT]
    began = time.monotonic()
    done = subprocess.run([*command, "--archive", str(archives)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "built" not in done.stderr
    assert [(archives / f"{name}.tar").stat().st_mtime_ns for name in BUILT] == before
    assert time.monotonic() - began < 20


def test_pushed_images_have_the_printed_digest(archives, registry):
    (pushed,) = build.own(["versitygw"], push=f"{registry}/team").values()
    reference, _, digest = pushed.reference.partition("@")
    assert (reference, digest) == (f"{registry}/team/versitygw", pushed.digest)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = httpx.get(f"http://{registry}/v2/team/versitygw/manifests/{digest}", headers=accept)
    assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest


@pytest.fixture
def registry(tmp_path):
    """A registry on a free port of loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    settings = {"version": 0.1, "storage": storage, "http": {"addr": address}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(settings))
    with (tmp_path / "registry.log").open("w") as log:
        server = subprocess.Popen(["registry", "serve", str(tmp_path / "registry.yaml")], stdout=log, stderr=log)
    eventually(lambda: _answers(f"http://{address}/v2/"), seconds=20)
    yield address
    server.terminate()
    server.wait(20)


def _answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _status(container, url):
    """The HTTP status that a container gives to a client on its own loopback."""
    ask = f"import httpx; print(httpx.get({url!r}).status_code)"
    inside = ["nsenter", "--net", f"--target={_process(container)}", sys.executable, "-c", ask]
    return subprocess.run(inside, capture_output=True, text=True).stdout.strip()


def _process(container):
    """The process id, on this machine, of a container's first process."""

    def state():
        assert container.process.poll() is None, container.process.communicate()
        done = subprocess.run(["runc", "state", container.name], capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    eventually(lambda: state().get("status") == "running", seconds=20)
    return state()["pid"]


def _try(container, *command):
    """What a command inside writes, wherever it writes it and however it ends."""
    done = subprocess.run(["runc", "exec", container.name, *command], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
