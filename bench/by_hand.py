"""The floor of `make up`: the same servers with the same settings, started in parallel by a script until healthy.

It takes the commands, files and environments that a real `up` left behind, moves them to a folder and ports of its
own, and does what must come one after the other (initdb, PostgreSQL, databases, schema, MLflow, agent, Envoy) in that
order, everything else beside it. No Pulumi, no supervisor, no readiness beyond the same checks.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from modelyard.processes import ProcessSpec
from modelyard.processes.files import SecretFiles
from modelyard.processes.ports import any_free_port
from modelyard.processes.readiness import is_ready


class Moved:
    """The specifications of a live platform, as they would be in another folder on other ports."""

    def __init__(self, platform: Path, folder: Path) -> None:
        self.platform, self.folder = platform, folder
        paths = sorted((platform / "supervisor").glob("*.json"))
        self.ports: dict[int, int] = {}
        for spec in map(ProcessSpec.read, paths):
            for port in spec.ports:
                self.ports[port] = any_free_port(self.ports.values())
        self.specs = {spec.name: spec for path in paths for spec in [self._moved(path.read_text())]}

    def text(self, text: str) -> str:
        for old, new in self.ports.items():
            text = text.replace(f":{old}", f":{new}").replace(f" {old}", f" {new}").replace(f'"{old}"', f'"{new}"')
        return text.replace(str(self.platform), str(self.folder))

    def _moved(self, document: str) -> ProcessSpec:
        spec = ProcessSpec.model_validate_json(self.text(document))
        return spec.model_copy(update={"ports": tuple(self.ports.get(port, port) for port in spec.ports)})


def start(spec: ProcessSpec, folder: Path, secrets: SecretFiles) -> "subprocess.Popen[bytes]":
    for path, template in spec.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(secrets.fill(template))
        if spec.account and os.geteuid() == 0:
            shutil.chown(place, spec.account)
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder)} | spec.env
    env |= {name: secrets.read(secret) for name, secret in spec.secret_env.items()}
    (folder / spec.folder).mkdir(parents=True, exist_ok=True)
    account = spec.account if os.geteuid() == 0 else None
    log = (folder / f"{spec.name}.out").open("w")
    return subprocess.Popen(spec.command, env=env, cwd=folder, stdout=log, stderr=log, user=account)


def wait(spec: ProcessSpec, deadline: float = 120) -> None:
    until = time.monotonic() + deadline
    while not is_ready(spec.ready):
        if time.monotonic() > until:
            raise TimeoutError(f"{spec.name} was not ready after {deadline:g} s")
        time.sleep(0.02)


def run(platform: Path) -> float:
    """Seconds from nothing to all healthy."""
    folder = Path(tempfile.mkdtemp(prefix="hand-", dir="/tmp"))
    folder.chmod(0o755)
    moved = Moved(platform, folder)
    shutil.copytree(platform / "secrets", folder / "secrets")
    secrets = SecretFiles(folder / "secrets")
    for name in ("pgpass", "aws"):
        source = platform / "tracking_server" / name
        place = folder / "tracking_server" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(moved.text(source.read_text()))
        place.chmod(0o600)
    running: list[subprocess.Popen[bytes]] = []
    began = time.monotonic()
    try:
        beside = [name for name in moved.specs if name not in ("postgres", "mlflow", "serving-agent", "envoy")]
        for data in ("artifact_store/objects", "artifact_store/versions", "monitoring/pushgateway"):
            (folder / data).mkdir(parents=True, exist_ok=True)
        running += [start(moved.specs[name], folder, secrets) for name in beside]
        chain = threading.Thread(target=_chain, args=(moved, folder, secrets, running))
        chain.start()
        for name in beside:
            wait(moved.specs[name])
        chain.join()
        for name in ("mlflow", "serving-agent", "envoy"):
            wait(moved.specs[name])
        return time.monotonic() - began
    finally:
        for process in reversed(running):
            process.terminate()
        for process in reversed(running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _chain(moved: Moved, folder: Path, secrets: SecretFiles, running: "list[subprocess.Popen[bytes]]") -> None:
    import boto3
    import psycopg

    postgres = moved.specs["postgres"]
    _initdb(postgres, folder, secrets)
    running.append(start(postgres, folder, secrets))
    wait(postgres)
    port = postgres.ports[0]
    password = secrets.read("registry_database-superuser")
    with psycopg.connect(
        host="127.0.0.1", port=port, user="postgres", password=password, autocommit=True
    ) as connection:
        for role in ("mlflow", "mlflow_auth", "modelyard", "monitor"):
            secret = secrets.read(f"registry_database-{role}")
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")  # type: ignore[arg-type]
            if role != "monitor":
                connection.execute(f"CREATE DATABASE {role} OWNER {role} STRATEGY file_copy")  # type: ignore[arg-type]
    store = moved.specs["versitygw"]
    wait(store)
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{store.ports[0]}",
        region_name="us-east-1",
        aws_access_key_id=secrets.read("artifact_store-access-key"),
        aws_secret_access_key=secrets.read("artifact_store-secret-key"),
    )
    client.create_bucket(Bucket="mlflow")
    client.put_bucket_versioning(Bucket="mlflow", VersioningConfiguration={"Status": "Enabled"})
    mlflow = moved.specs["mlflow"]
    uri = f"postgresql://mlflow@127.0.0.1:{port}/mlflow"
    env = {"PATH": os.environ["PATH"], "PGPASSFILE": str(folder / "tracking_server" / "pgpass")}
    migrate = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    subprocess.run(migrate, env=env, check=True, capture_output=True)
    for spec in (mlflow, moved.specs["serving-agent"], moved.specs["envoy"]):
        running.append(start(spec, folder, secrets))
        wait(spec)


def _initdb(postgres: ProcessSpec, folder: Path, secrets: SecretFiles) -> None:
    data = folder / "registry_database" / "data"
    data.mkdir(parents=True, mode=0o700)
    password = folder / "registry_database" / "superuser"
    password.write_text(secrets.read("registry_database-superuser"))
    account = postgres.account if os.geteuid() == 0 else None
    if account:
        shutil.chown(data, account)
        shutil.chown(password, account)
    command = [str(Path(postgres.command[0]).parent / "initdb"), "-D", str(data), "-U", "postgres"]
    command += ["--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, user=account, cwd="/", env={"LC_ALL": "C.UTF-8"})
