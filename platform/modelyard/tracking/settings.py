"""What a tracking server in a cluster is told: a JSON document, and files with the secrets that it names."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

SOURCE_PATTERN = r"^(mlflow-artifacts:/|models:/m-[0-9a-f]{32}$)"  # what a registered model may be a version of
STORES = 3  # SQLAlchemy engines one server process opens: tracking, registry, and one to spare
CONNECTIONS = STORES * 2 * 2  # that it opens at least when it is busy: two in each pool, and two beyond


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Document):
    """One database of a PostgreSQL server.

    Attributes:
        connections: How many one process may open.
    """

    host: str
    port: int
    name: str
    user: str
    password_file: Path
    sslmode: str
    sslrootcert: Path | None = None
    connections: int


class ArtifactSettings(_Document):
    """The bucket that artifacts are in.

    Attributes:
        endpoint_url: None is AWS's own.
        direct: Whether the server's clients reach the store, too; if not, everything goes through the server.
        certificate_authority_file: Certificates (PEM) that the store's is checked against; None: public authorities.
    """

    endpoint_url: str | None
    region: str
    bucket: str
    access_key_file: Path
    secret_key_file: Path
    direct: bool = False
    certificate_authority_file: Path | None = None


class IssuerSettings(_Document):
    """Whose tokens people and programs may log in with besides passwords; its public keys are in a file, or at a URL.

    Attributes:
        issuer: What a token's `iss` has to be.
        audiences: One of these has to be in its `aud`.
        username_claim: Which of its claims is the user's name.
        jwks_file: A JSON Web Key Set (RFC 7517).
        jwks_url: Where the issuer has it.
    """

    issuer: str
    audiences: tuple[str, ...]
    username_claim: str
    jwks_file: Path | None = None
    jwks_url: str | None = None


class TrackingServerSettings(_Document):
    """One tracking server.

    Attributes:
        admin: The first user's name; the password is in `admin_password_file`.
        reader: A user who may read everything and change nothing; the password is in `reader_password_file`.
        session_key_file: What all replicas sign sessions with.
        issuer: Whose tokens are taken besides the server's own.
        allowed_hosts: `Host` headers to accept.
        cors_allowed_origins: Web pages of which origins may call the server.
        url: Where the platform's own programs ask it.
        deleted_kept_days: How long deleted runs can be restored; None: for ever.
    """

    port: int
    database: DatabaseSettings
    users_database: DatabaseSettings
    artifacts: ArtifactSettings
    admin: str
    admin_password_file: Path
    reader: str
    reader_password_file: Path
    session_key_file: Path
    issuer: IssuerSettings | None = None
    allowed_hosts: tuple[str, ...]
    cors_allowed_origins: tuple[str, ...] = ()
    url: str | None = None
    deleted_kept_days: int | None = None
