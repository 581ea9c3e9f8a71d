"""Roles and databases on a server that others use, too, made by an administrator who is no superuser."""

import itertools

import psycopg
import pytest

from modelyard.errors import ModelyardError
from modelyard.provisioning import databases
from tests.support.tls_front import tls_front

NUMBERS = itertools.count(1)


@pytest.fixture
def prefix():
    """Of names that no other test uses."""
    return f"team{next(NUMBERS)}_"


@pytest.fixture
def asked(server, tmp_path):
    """A request for one platform's roles, with some of it changed."""

    def build(prefix, *, mark="1", **changes):
        for name, text in {"admin": "of-the-admin", "role": "of-the-role", "mark": mark}.items():
            (tmp_path / name).write_text(f"{text}\n")
        owners = [
            {
                "user": f"{prefix}{role}",
                "database": "postgres" if role == "monitor" else f"{prefix}{role}",
                "connections": 7,
                "member_of": ["pg_monitor"] if role == "monitor" else [],
                "password_file": tmp_path / "role",
            }
            for role in ("mlflow", "monitor")
        ]
        request = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "admin",
            "password_file": tmp_path / "admin",
            "mark": "team",
            "mark_file": tmp_path / "mark",
            "owners": owners,
            "seconds": 1,
        }
        return databases.Request.model_validate(request | changes)

    return build


def refusal(request):
    with pytest.raises(ModelyardError) as error:
        databases.run(request)
    return str(error.value)


def test_an_owner_gets_a_database_of_its_own(server, asked, prefix):
    databases.run(asked(prefix))
    with server.connect(f"{prefix}mlflow", "of-the-role", f"{prefix}mlflow") as connection:
        connection.execute("CREATE TABLE runs (id int)")
        (limit,) = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user").fetchone()
    assert limit == 7


def test_others_do_not_get_into_it(server, asked, prefix):
    databases.run(asked(prefix))
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        server.connect(f"{prefix}monitor", "of-the-role", f"{prefix}mlflow")


def test_again_nothing_changes_but_what_is_asked_for(server, asked, prefix, tmp_path):
    databases.run(asked(prefix))
    again = asked(prefix)
    (tmp_path / "role").write_text("another")
    databases.run(again)
    server.connect(f"{prefix}mlflow", "another", f"{prefix}mlflow").close()


def test_a_right_that_the_administrator_may_not_give_is_done_without(asked, prefix):
    assert databases.run(asked(prefix)) == [f"{prefix}monitor is no member of pg_monitor, which admin may not give on"]


def test_the_administrators_name_may_be_in_a_file(asked, prefix, tmp_path):
    (tmp_path / "user").write_text("admin\n")
    databases.run(asked(prefix, user=None, user_file=tmp_path / "user"))


def test_another_platform_of_that_name_is_refused(asked, prefix):
    databases.run(asked(prefix))
    said = refusal(asked(prefix, mark="2"))
    assert f"the role '{prefix}mlflow', marked 'modelyard platform team 1'" in said
    assert f"the role '{prefix}monitor'" in said


def test_what_the_refusal_says_hands_all_of_it_over(server, asked, prefix):
    databases.run(asked(prefix))
    server.execute(f"ALTER DATABASE {prefix}mlflow OWNER TO postgres")
    server.execute(*refusal(asked(prefix, mark="2")).rpartition("run: ")[2].split("; "))
    databases.run(asked(prefix, mark="2"))


def test_a_role_of_nobodys_is_left_alone(server, asked, prefix):
    server.execute(f"CREATE ROLE {prefix}mlflow LOGIN PASSWORD 'kept'")
    assert f"the role '{prefix}mlflow', without a platform's mark" in refusal(asked(prefix))
    server.connect(f"{prefix}mlflow", "kept").close()


def test_a_database_of_somebody_elses_is_left_alone(server, asked, prefix):
    server.execute(f"CREATE DATABASE {prefix}mlflow")
    assert f"the database '{prefix}mlflow', which belongs to 'postgres'" in refusal(asked(prefix))


def test_a_try_that_was_cut_off_is_gone_on_with(server, asked, prefix):
    databases.run(asked(prefix))
    server.execute(f"DROP DATABASE {prefix}mlflow")
    databases.run(asked(prefix))
    server.connect(f"{prefix}mlflow", "of-the-role", f"{prefix}mlflow").close()


def test_a_login_without_the_rights_is_told_which(server, asked, prefix):
    server.execute(f"CREATE ROLE {prefix}weak LOGIN PASSWORD 'of-the-admin'")
    said = refusal(asked(prefix, user=f"{prefix}weak"))
    assert f'ALTER ROLE "{prefix}weak" CREATEROLE CREATEDB' in said


def test_another_administrators_role_is_told_so(server, asked, prefix):
    databases.run(asked(prefix))
    server.execute(f"CREATE ROLE {prefix}other LOGIN CREATEROLE CREATEDB PASSWORD 'of-the-admin'")
    said = refusal(asked(prefix, user=f"{prefix}other"))
    assert f'GRANT "{prefix}mlflow" TO "{prefix}other" WITH ADMIN OPTION' in said


def test_a_wrong_password_is_said_at_once(job, asked, prefix, tmp_path):
    request = asked(prefix, seconds=60)
    (tmp_path / "admin").write_text("wrong")
    code, said = job("databases", request.model_dump())
    assert code == 1
    assert "roles and databases could not be made at 127.0.0.1:" in said
    assert "the server doesn't take this user with this password: is the Secret right?" in said
    assert "Traceback" not in said
    assert "wrong" not in said


def test_a_server_that_is_not_there_is_said(asked, prefix):
    said = refusal(asked(prefix, port=1, seconds=0))
    assert "does its firewall let the cluster in" in said


def test_a_server_without_tls_is_said(asked, prefix):
    assert "the server has no TLS" in refusal(asked(prefix, sslmode="require", seconds=60))


def test_the_servers_certificate_is_checked(server, asked, prefix, tmp_path):
    with tls_front(server.port, tmp_path, host="localhost") as port:
        checked = {"port": port, "sslmode": "verify-full", "sslrootcert": tmp_path / "authority.crt", "seconds": 60}
        databases.run(asked(prefix, host="localhost", **checked))
        assert "is for another host" in refusal(asked(prefix, **checked))


def test_a_certificate_by_somebody_else_is_refused(server, asked, prefix, tmp_path):
    (tmp_path / "other").mkdir()
    with tls_front(server.port, tmp_path, host="localhost") as port, tls_front(1, tmp_path / "other", host="x"):
        checked = {"port": port, "sslmode": "verify-full", "sslrootcert": tmp_path / "other" / "authority.crt"}
        said = refusal(asked(prefix, host="localhost", seconds=60, **checked))
    assert "the server's certificate is not by `certificate_authority`" in said


def login(server, tmp_path, user, **changes):
    (tmp_path / "role").write_text("of-the-role")
    one = {"user": user, "database": user, "password_file": tmp_path / "role"} | changes
    return {"host": "127.0.0.1", "port": server.port, "logins": [one], "seconds": 1}


def test_a_given_database_can_be_used(server, job, asked, prefix, tmp_path):
    databases.run(asked(prefix))
    assert job("database_logins", login(server, tmp_path, f"{prefix}mlflow")) == (
        0,
        "1 users get into their databases\n",
    )


def test_a_given_database_without_rights_is_told_so(server, job, asked, prefix, tmp_path):
    databases.run(asked(prefix))
    server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    request = login(server, tmp_path, f"{prefix}monitor", database="postgres")
    code, said = job("database_logins", request)
    assert code == 1
    assert f"'{prefix}monitor' may not make tables in the database 'postgres'" in said
    assert job("database_logins", request | {"logins": [request["logins"][0] | {"makes_tables": False}]})[0] == 0


def test_a_given_database_that_is_not_there_is_told_so(server, job, asked, prefix, tmp_path):
    databases.run(asked(prefix))
    code, said = job("database_logins", login(server, tmp_path, f"{prefix}mlflow", database="nobodys"))
    assert code == 1
    assert 'database "nobodys" does not exist' in said
