"""Who may ask the router, and over what: Envoy's own filters for TLS, API keys and JSON Web Tokens, as documents.

Nothing that is secret is in a document that a platform's program writes: those name files. The agent reads keys and
certificate, writes what Envoy watches, and looks again at every step, so they change without a restart. What Envoy
would refuse is not written: it would go on with what it had, and quote the reason, a key even, in its log.
"""

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.serving.documents import Document, discovery, type_url, watched
from modelyard.serving.settings import RouterSettings

CERTIFICATE_FILE = "certificate.json"
CLIENT_HEADER = "x-modelyard-client"
KEY_HEADERS = ("x-api-key", "authorization")
SHORTEST_KEY = 16
_CERTIFICATE = "certificate"

Complain = Callable[[str], None]


def filters(settings: RouterSettings) -> list[Document]:
    """The HTTP filters that turn away whoever may not ask; they come before all others.

    Envoy lets nobody in until it has read the files that they are configured by.
    """
    return [
        {
            "name": one.name,
            "config_discovery": {"config_source": watched(settings, one.file), "type_urls": [type_url(one.kind)]},
        }
        for one in _chosen(settings)
    ]


def files(settings: RouterSettings, complain: Complain) -> dict[str, Document | None]:
    """What the agent writes for them, by file name, each for a file that nobody else may read.

    Args:
        settings: Where keys, tokens' issuers and the certificate are.
        complain: Told what is wrong with them.

    Returns:
        None stands for a file that must not be there. One that is not mentioned stays as it is.
    """
    chosen = _chosen(settings)
    found: dict[str, Document | None] = {one.file: None for one in (API_KEYS, JWT) if one not in chosen}
    for one in chosen:
        config = one.config(settings, complain)
        if config is not None:
            extension = {"name": one.name, "typed_config": {"@type": type_url(one.kind)} | config}
            found[one.file] = discovery("config.core.v3.TypedExtensionConfig", [extension])
    if settings.tls is None:
        found[CERTIFICATE_FILE] = None
    elif certificate := _certificate(settings, complain):
        found[CERTIFICATE_FILE] = certificate
    return found


def file_names(settings: RouterSettings) -> list[str]:
    """The files that Envoy can't do without."""
    return [*(one.file for one in _chosen(settings)), *([CERTIFICATE_FILE] if settings.tls else [])]


def headers_to_remove(settings: RouterSettings) -> list[str]:
    """What a model server must not see: credentials; the client's name, unless a filter has set it."""
    return list(KEY_HEADERS) if _chosen(settings) else [CLIENT_HEADER]


def _chosen(settings: RouterSettings) -> list["_Filter"]:
    return [*([API_KEYS] if settings.api_keys else []), *([JWT] if settings.jwt else [])]


def _api_keys(settings: RouterSettings, complain: Complain) -> Document:
    """A client whose key is not good may not ask."""
    clients: dict[str, str] = {}
    for client, path in settings.api_keys.items():
        try:
            key = path.read_text().strip()
        except (OSError, ValueError) as error:
            complain(f"{client} is turned away: its key can't be read: {error}")
            continue
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            complain(f"{client} is turned away: {path} does not hold one word of {SHORTEST_KEY} or more characters")
        elif key in clients:
            complain(f"{client} is turned away: its key is the same as that of {clients[key]}")
        else:
            clients[key] = client
    return {
        "credentials": [{"key": key, "client": client} for key, client in clients.items()],
        "key_sources": [{"header": name} for name in KEY_HEADERS],
        "forwarding": {"header": CLIENT_HEADER, "hide_credentials": True},
    }


def _jwt(settings: RouterSettings, complain: Complain) -> Document | None:
    assert settings.jwt
    try:
        keys = key_set(settings.jwt.jwks_file)
    except (OSError, ValueError) as error:
        complain(f"the issuer's keys stay what they were: {settings.jwt.jwks_file}: {error}")
        return None
    provider = {
        "issuer": settings.jwt.issuer,
        "audiences": list(settings.jwt.audiences),
        "local_jwks": {"inline_string": keys},
        # Envoy would also take one out of the address, and addresses are logged wherever they pass.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "forward": False,
        "claim_to_headers": [{"header_name": CLIENT_HEADER, "claim_name": "sub"}],
        "require_expiration": True,
    }
    return {
        "providers": {"issuer": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    }


@dataclass(frozen=True)
class _Filter:
    """One of Envoy's filters, configured by a file."""

    name: str
    kind: str
    file: str
    config: Callable[[RouterSettings, Complain], Document | None]


API_KEYS = _Filter(
    "envoy.filters.http.api_key_auth", "extensions.filters.http.api_key_auth.v3.ApiKeyAuth", "api-keys.json", _api_keys
)
JWT = _Filter(
    "envoy.filters.http.jwt_authn", "extensions.filters.http.jwt_authn.v3.JwtAuthentication", "jwt.json", _jwt
)


def open_to_all(settings: RouterSettings) -> Document:
    """What a route says that needs neither key nor token: load balancers ask for health without either."""
    off = {"@type": type_url("config.route.v3.FilterConfig"), "disabled": True}
    chosen = _chosen(settings)
    return {"typed_per_filter_config": {one.name: off for one in chosen}} if chosen else {}


def transport(settings: RouterSettings) -> Document:
    """TLS 1.2 or newer on the listener, if there is a certificate."""
    if settings.tls is None:
        return {}
    secret = {"name": _CERTIFICATE, "sds_config": watched(settings, CERTIFICATE_FILE)}
    tls = {
        "@type": type_url("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [secret],
        },
    }
    return {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "transport_socket_connect_timeout": "10s",  # for the handshake: a silent client gives its connection back
    }


def _certificate(settings: RouterSettings, complain: Complain) -> Document | None:
    """Certificate and key as they were read together; while one of a pair is being renewed, nothing changes.

    As content, not as names of files: those Envoy reads anew only when they are moved into place.
    """
    assert settings.tls
    chain, key = settings.tls.certificate_file, settings.tls.private_key_file
    try:
        read = chain.read_text(), key.read_text()
        check_pair(chain, key)
        if read != (chain.read_text(), key.read_text()):
            return None  # they are being written: the next step sees them whole
    except (OSError, ValueError) as error:
        complain(f"the certificate stays what it was: {error}")
        return None
    pair = {"certificate_chain": {"inline_string": read[0]}, "private_key": {"inline_string": read[1]}}
    kind = "extensions.transport_sockets.tls.v3.Secret"
    return discovery(kind, [{"name": _CERTIFICATE, "tls_certificate": pair}])


def key_set(path: Path) -> str:
    """A JSON Web Key Set, as it stands in its file.

    Raises:
        ValueError: it is none, or has no key.
        OSError: it can't be read.
    """
    text = path.read_text()
    try:
        count = len(json.loads(text)["keys"])
    except (ValueError, TypeError, KeyError):
        count = 0
    if not count:
        raise ValueError('it holds no JSON Web Key Set: {"keys": [...]} with at least one key')
    return text


def check_pair(chain: Path, key: Path) -> None:
    """Whether a private key belongs to a certificate.

    Raises:
        ValueError: it doesn't, needs a passphrase, or one of them is not PEM.
        OSError: one of them can't be read.
    """
    if "ENCRYPTED" in key.read_text():
        raise ValueError(f"{key} needs a passphrase, and nobody is there to type it")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    except ssl.SSLError as error:  # which is an OSError
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key} is not the key of the certificate in {chain}") from None
        raise ValueError(f"{chain} and {key} are not a certificate and its key in PEM") from None
