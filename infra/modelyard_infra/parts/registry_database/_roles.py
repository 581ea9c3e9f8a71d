"""The roles of a database that a cluster's pods use: a Secret each, and a Job that makes them in the server."""

from collections.abc import Mapping
from typing import Any

from pulumi import Output, Resource, ResourceOptions

from modelyard_infra.contracts import DatabaseAccess, SecretReference
from modelyard_infra.resources.generated_password import GeneratedPassword
from modelyard_infra.workloads.objects import Objects, as_json
from modelyard_infra.workloads.pods import SECRETS, SETTINGS, Container, Pod, Resources

IMAGE = "agent"
MONITOR = 3  # connections


def limits(mlflow: int, modelyard: int) -> dict[str, int]:
    """How many connections each role may open; MLflow's users are a database of their own."""
    return {"mlflow": mlflow, "mlflow_auth": mlflow, "modelyard": modelyard}


def passwords(
    part: str,
    objects: Objects,
    connections: Mapping[str, int],
    parent: Resource,
    *,
    prefix: str = "",
    common: str = "postgres",
) -> dict[str, DatabaseAccess]:
    """Generate a password for each role, in a Secret of its own: who uses one role can't read another's.

    Args:
        part: The part's name, for names.
        connections: How many each role may open.
        prefix: Of the names of roles and databases.
        common: The database of those who have none of their own.
    """
    made = {}
    for role, limit in (connections | {"monitor": MONITOR}).items():  # type: ignore[operator]
        name = f"{part}-{role}".replace("_", "-")
        user = f"{prefix}{role}"
        password = GeneratedPassword(f"{name}-password", opts=ResourceOptions(parent=parent))
        reference = objects.secret(name, {"username": user, "password": password.value})["password"]
        made[role] = DatabaseAccess(common if role == "monitor" else user, user, reference, limit)
    return made


def job(
    part: str,
    objects: Objects,
    owners: Mapping[str, DatabaseAccess],
    *,
    server: Mapping[str, Any],
    superuser: SecretReference,
    certificate_authority: SecretReference | None,
    after: list[Resource],
    files: Mapping[str, SecretReference] | None = None,
    keep_failed: bool = False,
) -> Resource:
    """The Job that makes roles and databases; it runs again when anything of it changes.

    Args:
        server: `host`, `port`, `user` and `sslmode` of the server, and what else its request has.
        superuser: Password of that user, who may make roles and databases.
        files: What else is to be at hand in files, by the request's field that gets the path.
        keep_failed: Try once and leave the pod, so that one can read why; a server of others may count wrong logins.
    """
    others = dict(files or {})
    request = dict(server) | {
        "password_file": f"{SECRETS}/superuser",
        "sslrootcert": f"{SECRETS}/ca.crt" if certificate_authority else None,
        "owners": [
            {
                "user": access.user,
                "database": access.name,
                "connections": access.connections,
                "member_of": ["pg_monitor"] if role == "monitor" else [],
                "password_file": f"{SECRETS}/{role}",
            }
            for role, access in owners.items()
        ],
    }
    request |= {field: f"{SECRETS}/{field}" for field in others}
    secrets = {role: access.password for role, access in owners.items()} | {"superuser": superuser} | others
    return _job(
        part,
        objects,
        request,
        secrets,
        program="databases",
        certificate_authority=certificate_authority,
        after=after,
        keep_failed=keep_failed,
    )


def look(
    part: str,
    objects: Objects,
    given: Mapping[str, DatabaseAccess],
    *,
    server: Mapping[str, Any],
    certificate_authority: SecretReference | None,
) -> Resource:
    """The Job that looks whether databases that somebody else made can be used."""
    request = dict(server) | {
        "sslrootcert": f"{SECRETS}/ca.crt" if certificate_authority else None,
        "logins": [
            {
                "user": access.user,
                "database": access.name,
                "password_file": f"{SECRETS}/{role}",
                "makes_tables": role != "monitor",
            }
            for role, access in given.items()
        ],
    }
    secrets = {role: access.password for role, access in given.items()}
    return _job(
        part,
        objects,
        request,
        secrets,
        program="database_logins",
        certificate_authority=certificate_authority,
        after=[],
        keep_failed=True,
    )


def _job(
    part: str,
    objects: Objects,
    request: Mapping[str, Any],
    secrets: dict[str, SecretReference],
    *,
    program: str,
    certificate_authority: SecretReference | None,
    after: list[Resource],
    keep_failed: bool,
) -> Resource:
    text = as_json(request)
    if certificate_authority:
        secrets["ca.crt"] = certificate_authority
    container = Container(
        name="roles",
        image=IMAGE,
        resources=Resources(cpu="50m", memory="128Mi"),
        command=["/opt/modelyard/bin/python", "-m", f"modelyard.provisioning.{program}", f"{SETTINGS}/request.json"],
    )
    pod = Pod(
        container,
        settings=objects.config_map(f"{part}-roles", {"request.json": text}),
        secrets=secrets,
        uses=(part,),
        restart="Never" if keep_failed else "OnFailure",
    )
    return objects.job(f"{part}-roles", pod, key=text, after=after, retries=0 if keep_failed else 3)


def known_after(job: Resource, port: int) -> Output[int]:
    """The server's port, which nobody gets before the databases behind it are there."""
    return Output.all(port, job.urn).apply(lambda known: int(known[0]))
