"""The environment that MLflow's server reads its settings from.

The `_MLFLOW_SERVER_*` names are how `mlflow server` hands its own arguments on; starting the application without it
saves a process and half of the memory.
"""

import json
from collections.abc import Sequence

from modelyard.tracking.settings import SOURCE_PATTERN, STORES, IssuerSettings

ADMIN_PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_PASSWORD"  # noqa: S105
READER_PASSWORD_FILE_VARIABLE = "MODELYARD_READER_PASSWORD_FILE"  # noqa: S105
DIRECT_VARIABLE = "MODELYARD_DIRECT_ARTIFACTS"
ISSUER_VARIABLE = "MODELYARD_TOKEN_ISSUER"
OWN_USERS_VARIABLE = "MODELYARD_OWN_USERS"  # a JSON list
TOKENS_PATH = "/modelyard/tokens"  # answers a POST of `{"user": …, "days": …}` with a token
SESSION_KEY_VARIABLE = "MLFLOW_FLASK_SERVER_SECRET_KEY"


def common(connections: int) -> dict[str, str]:
    """What every tracking server has, wherever it runs.

    Args:
        connections: How many connections to the database this process may open.
    """
    pool = str(max(2, connections // STORES // 2))
    return {
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": SOURCE_PATTERN,
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": pool,
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": pool,
        "MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE": "600",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def login(own_users: Sequence[str], issuer: IssuerSettings | None, *, direct: bool) -> dict[str, str]:
    """What a server with `modelyard.tracking.login` in front has besides.

    Args:
        own_users: The platform's own, for whom nobody makes tokens; the first is the administrator.
        issuer: Whose tokens are taken besides the server's own.
        direct: Whether clients reach the artifact store themselves.
    """
    found = {
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        OWN_USERS_VARIABLE: json.dumps(list(own_users)),
        DIRECT_VARIABLE: str(direct).lower(),
    }
    return found | ({ISSUER_VARIABLE: issuer.model_dump_json()} if issuer else {})


def auth_config(users_uri: str, admin: str) -> str:
    """MLflow's file about users: https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth/

    Args:
        users_uri: Their database, without a password.
        admin: The first user's name.
    """
    return (
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users_uri}\nadmin_username = {admin}\n"
        "authorization_function = modelyard.tracking.login:authenticate\n"
        "grant_default_workspace_access = false\n"
    )
