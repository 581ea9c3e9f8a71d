"""Starts PostgreSQL; makes its data folder first when there is none.

Arguments go to `postgres` (`-c max_connections=50`). From the environment:

POSTGRES_PASSWORD_FILE   holds the superuser's password; needed the first time only
POSTGRES_USER            the superuser's name; `postgres` when left out
PGDATA                   the data folder; its parent is what a volume is mounted on

Everybody logs in with a password (SCRAM), also from inside the container. Nothing is written outside the data folder,
save sockets in /tmp.
"""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path("/opt/postgresql/bin")
DATA = Path("/var/lib/postgresql/data/pgdata")  # not the volume's own root, which may hold lost+found
PASSWORD = Path("/run/secrets/postgresql/password")
OPTIONS = ("listen_addresses=*", "unix_socket_directories=/tmp", "log_timezone=UTC", "timezone=UTC")
LOGIN = "local all all scram-sha-256\nhost all all all scram-sha-256\n"


def main(arguments: list[str]) -> None:
    """Become the server. Exits with what is wrong and what to do about it when that can't be."""
    data = Path(os.environ.get("PGDATA", DATA))
    if os.geteuid() == 0:
        sys.exit("PostgreSQL refuses to run as root: leave `runAsUser` at the image's own 10001")
    check(data.parent)
    if not (data / "PG_VERSION").exists():
        make(data, os.environ.get("POSTGRES_USER", "postgres"))
    found = (data / "PG_VERSION").read_text().strip()
    if found != major():
        sys.exit(
            f"{data} was written by PostgreSQL {found}, and this is {major()}: "
            "dump with the old image and restore with the new one"
        )
    options = [word for option in OPTIONS for word in ("-c", option)]
    os.execv(PROGRAMS / "postgres", ["postgres", "-D", str(data), *options, *arguments])


def major() -> str:
    """The major version of the programs."""
    output = subprocess.run([PROGRAMS / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return output.split()[-1].partition(".")[0]


def make(data: Path, superuser: str) -> None:
    """Make the data folder beside its place and move it there: what is in place is complete."""
    password = Path(os.environ.get("POSTGRES_PASSWORD_FILE", PASSWORD))
    if not password.is_file() or not password.read_text().strip():
        sys.exit(
            f"no data in {data} yet, and no password for its superuser in {password}: "
            "mount a secret there, or name its file in POSTGRES_PASSWORD_FILE"
        )
    if data.exists():
        sys.exit(f"{data} is there, but is no PostgreSQL data folder: move away what is in it")
    fresh = data.with_name(f".{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [
        str(PROGRAMS / "initdb"),
        "-D",
        str(fresh),
        "-U",
        superuser,
        f"--pwfile={password}",
        "--auth=scram-sha-256",
    ]
    options = ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        sys.exit(f"initdb failed (exit code {done.returncode}):\n{done.stdout}{done.stderr}")
    (fresh / "pg_hba.conf").write_text(LOGIN)
    fresh.rename(data)


def check(volume: Path) -> None:
    """Exit unless this account has a name, which PostgreSQL's programs ask for, and may write to the volume."""
    user = os.geteuid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        sys.exit(f"user {user} has no name in this image: leave `runAsUser` at the image's own 10001")
    if not os.access(volume, os.W_OK | os.X_OK):
        sys.exit(f"user {user} may not write to {volume}: set `fsGroup: 10001`, or change the volume's owner")


if __name__ == "__main__":
    main(sys.argv[1:])
