import configparser
import stat
from pathlib import Path

import pytest

from modelyard.tracking import launch
from modelyard.tracking.settings import ArtifactSettings, DatabaseSettings, TrackingServerSettings

SECRETS = ("database", "users", "access", "secret", "admin", "session")


@pytest.fixture
def settings(tmp_path: Path) -> TrackingServerSettings:
    for name in SECRETS:
        (tmp_path / name).write_text(f"the-{name}-secret\n")
    database = {"host": "db", "port": 5432, "sslmode": "disable", "connections": 24}
    return TrackingServerSettings(
        port=5000,
        database=DatabaseSettings(name="mlflow", user="mlflow", password_file=tmp_path / "database", **database),
        users_database=DatabaseSettings(name="users", user="users", password_file=tmp_path / "users", **database),
        artifacts=ArtifactSettings(
            endpoint_url="http://store:7070",
            region="us-east-1",
            bucket="mlflow",
            access_key_file=tmp_path / "access",
            secret_key_file=tmp_path / "secret",
        ),
        admin="admin",
        admin_password_file=tmp_path / "admin",
        reader="reader",
        reader_password_file=tmp_path / "reader",
        session_key_file=tmp_path / "session",
        allowed_hosts=("tracking-server",),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    place.mkdir()
    return place


def test_each_database_is_a_service_of_its_own(settings: TrackingServerSettings, folder: Path) -> None:
    launch.prepare(settings, folder)
    services = configparser.ConfigParser()
    services.read(folder / "pg_service.conf")
    assert services["tracking"]["password"] == "the-database-secret"
    assert services["users"]["password"] == "the-users-secret"


def test_no_password_of_a_database_is_in_the_environment(settings: TrackingServerSettings, folder: Path) -> None:
    environment = launch.prepare(settings, folder)
    assert environment["_MLFLOW_SERVER_FILE_STORE"] == "postgresql:///?service=tracking"
    assert not [name for name, value in environment.items() if "database-secret" in value or "users-secret" in value]


def test_files_with_secrets_are_nobody_elses(settings: TrackingServerSettings, folder: Path) -> None:
    launch.prepare(settings, folder)
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"pg_service.conf", "auth.ini", "aws"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_jobs_stay_off_and_hosts_are_listed(settings: TrackingServerSettings, folder: Path) -> None:
    environment = launch.prepare(settings, folder)
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "tracking-server"


def test_aws_itself_needs_no_endpoint(settings: TrackingServerSettings, folder: Path) -> None:
    artifacts = settings.artifacts.model_copy(update={"endpoint_url": None})
    environment = launch.prepare(settings.model_copy(update={"artifacts": artifacts}), folder)
    assert "MLFLOW_S3_ENDPOINT_URL" not in environment
