"""Starts MLflow's server in a pod, or brings its databases to its version.

    python -m modelyard.tracking.launch serve SETTINGS      become the server
    python -m modelyard.tracking.launch migrate SETTINGS    schemas of both databases, and the first user
    python -m modelyard.tracking.launch collect SETTINGS    delete for good what was deleted a while ago

Passwords come from files and go into files that only this user reads: connections are looked up by name in a service
file (https://www.postgresql.org/docs/current/libpq-pgservice.html), so that none is in a URI, an argument or a log.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from modelyard.processes.files import write_private
from modelyard.provisioning import bucket
from modelyard.tracking import environment, own_users
from modelyard.tracking.settings import DatabaseSettings, TrackingServerSettings
from modelyard.tracking.tls_tunnel import tunnel

TRACKING, USERS = "tracking", "users"  # names of services
WAIT_SECONDS = 120


def prepare(settings: TrackingServerSettings, folder: Path) -> dict[str, str]:
    """Write the files that MLflow and its drivers read.

    Args:
        settings: The server's.
        folder: Where they go; nobody else may read there.

    Returns:
        The environment that says so.
    """
    artifacts = settings.artifacts
    services = {TRACKING: settings.database, USERS: settings.users_database}
    write_private(folder / "pg_service.conf", "".join(_service(name, one) for name, one in services.items()))
    write_private(folder / "auth.ini", environment.auth_config(uri(USERS), settings.admin))
    keys = _secret(artifacts.access_key_file), _secret(artifacts.secret_key_file)
    write_private(folder / "aws", f"[default]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n")
    (folder / "metrics").mkdir(exist_ok=True)
    store = {"MLFLOW_S3_ENDPOINT_URL": artifacts.endpoint_url} if artifacts.endpoint_url else {}
    if artifacts.certificate_authority_file:
        store["AWS_CA_BUNDLE"] = str(artifacts.certificate_authority_file)
    origins = settings.cors_allowed_origins
    return (
        environment.common(settings.database.connections)
        | environment.login((settings.admin, settings.reader), settings.issuer, direct=artifacts.direct)
        | store
        | ({"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins)} if origins else {})
        | {
            "PGSERVICEFILE": str(folder / "pg_service.conf"),
            "_MLFLOW_SERVER_FILE_STORE": uri(TRACKING),
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"s3://{artifacts.bucket}",
            "prometheus_multiproc_dir": str(folder / "metrics"),
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(settings.allowed_hosts),
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            environment.READER_PASSWORD_FILE_VARIABLE: str(settings.reader_password_file),
            environment.ADMIN_PASSWORD_VARIABLE: _secret(settings.admin_password_file),
            environment.SESSION_KEY_VARIABLE: _secret(settings.session_key_file),
            "AWS_DEFAULT_REGION": artifacts.region,
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws"),
        }
    )


def uri(service: str) -> str:
    """A database as MLflow is told of it."""
    return f"postgresql:///?service={service}"


def serve(settings: TrackingServerSettings) -> None:
    """Become the server."""
    arguments = ["--host", "0.0.0.0", "--port", str(settings.port), "--workers", "1", "--no-server-header"]  # noqa: S104
    arguments += ["--log-level", "warning", "--timeout-graceful-shutdown", "25"]
    command = [sys.executable, "-m", "uvicorn", *arguments, "--factory", "modelyard.tracking.app:create"]
    os.execv(sys.executable, command)


def migrate(settings: TrackingServerSettings) -> None:
    """Bring both databases to this MLflow's version, and have the users that the platform itself needs.

    Raises:
        RuntimeError: the database didn't let us in in time, or no snapshot could be taken before an upgrade.
    """
    from mlflow.server import auth

    from modelyard.provisioning import mlflow_schema

    _wait_for_database()
    revision = mlflow_schema.migrate(uri(TRACKING), lambda _url, found: take_snapshot(settings, found))
    print(f"the tracking database's schema is at {revision}")
    auth.store.init_db(uri(USERS))
    own_users.have(auth.store, settings.admin, _secret(settings.admin_password_file), admin=True)
    own_users.have(auth.store, settings.reader, _secret(settings.reader_password_file), admin=False)
    print(f"the users' database is there, and {settings.admin!r} and {settings.reader!r} in it")


def collect(settings: TrackingServerSettings) -> bool:
    """Delete for good what was deleted a while ago; artifacts are deleted by a server, which has the keys.

    Returns:
        Whether nothing stood in the way.
    """
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from modelyard.tracking import garbage

    assert settings.url is not None
    assert settings.deleted_kept_days is not None
    _wait_for_database()
    os.environ["MLFLOW_TRACKING_URI"] = settings.url
    os.environ["MLFLOW_TRACKING_USERNAME"] = settings.admin
    os.environ["MLFLOW_TRACKING_PASSWORD"] = _secret(settings.admin_password_file)
    store = SqlAlchemyStore(uri(TRACKING), "mlflow-artifacts:/")
    done = garbage.collect(store, MlflowClient(), kept_days=settings.deleted_kept_days)
    for run, reason in done.failed.items():
        print(f"run {run} stays, since its artifacts could not be deleted: {reason}")
    stay = f"; {done.registered} deleted runs stay, since registered versions come from them" if done.registered else ""
    print(f"deleted for good: {done.runs} runs, {done.experiments} experiments{stay}")
    return not done.failed


def take_snapshot(settings: TrackingServerSettings, revision: str | None) -> str:
    """Dump the tracking database in PostgreSQL's custom format into the artifact store; streamed, so of any size.

    Returns:
        Where it is; complete, or not there.

    Raises:
        RuntimeError: pg_dump failed.
    """
    artifacts = settings.artifacts
    key = f"modelyard/snapshots/{settings.database.name}-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    keys = _secret(artifacts.access_key_file), _secret(artifacts.secret_key_file)
    s3 = bucket.client(
        artifacts.endpoint_url, artifacts.region, *keys, certificate_authority=artifacts.certificate_authority_file
    )
    with way_for_dump(settings.database) as place:
        command = ["pg_dump", "--format=custom", f"--dbname=service={TRACKING}{place}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as dump:
            s3.upload_fileobj(dump.stdout, artifacts.bucket, key)
    if dump.returncode:
        s3.delete_object(Bucket=artifacts.bucket, Key=key)
        raise RuntimeError(f"pg_dump ended with {dump.returncode}: without a snapshot the schema is left as it is")
    return f"s3://{artifacts.bucket}/{key}"


@contextmanager
def way_for_dump(database: DatabaseSettings) -> Iterator[str]:
    """What pg_dump has to be told besides the service: its own build has no TLS, so we bring it."""
    if database.sslmode in ("disable", "allow", "prefer"):
        yield " sslmode=disable"
    else:
        with tunnel(database) as folder:
            yield f" host={folder} sslmode=disable"


def _wait_for_database() -> None:
    import psycopg2

    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            psycopg2.connect(service=TRACKING, connect_timeout=10).close()
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the database didn't let us in within {WAIT_SECONDS} s: {error}") from None
            time.sleep(1)


def _service(name: str, database: DatabaseSettings) -> str:
    lines = {
        "host": database.host,
        "port": database.port,
        "dbname": database.name,
        "user": database.user,
        "password": _secret(database.password_file),
        "sslmode": database.sslmode,
    }
    if database.sslrootcert:
        lines["sslrootcert"] = str(database.sslrootcert)
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def _secret(file: Path) -> str:
    return file.read_text().strip()


def main() -> None:
    verb, file = sys.argv[1:]
    settings = TrackingServerSettings.model_validate_json(Path(file).read_bytes())
    os.environ.update(prepare(settings, Path(tempfile.mkdtemp(prefix="modelyard-"))))
    if verb == "migrate":
        migrate(settings)
    elif verb == "collect":
        sys.exit(0 if collect(settings) else 1)
    else:
        serve(settings)


if __name__ == "__main__":
    main()
