"""Certificates and tokens for tests, signed on the spot."""

import base64
import datetime
import ipaddress
import json
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


def certificate(folder: Path, name: str = "models.test") -> tuple[Path, Path]:
    """A certificate that signs itself, for a name and 127.0.0.1, and its key; the files are replaced by renaming."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    found = folder / "tls.crt", folder / "tls.key"
    contents = made.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    for path, content in zip(found[::-1], contents[::-1], strict=True):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)
    return found


class Issuer:
    """Signs tokens; its public key is what `jwks` says."""

    def __init__(self, name: str = "https://issuer.test") -> None:
        self.name = name
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> str:
        """The public key as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        parts = {name: _text(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in vars_of(numbers)}
        return json.dumps({"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", **parts}]})

    def private_key(self) -> str:
        """What it signs with, PEM."""
        plain = serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()

    def token(self, **claims: object) -> str:
        """A token that is good for a minute, but for what is said otherwise; a claim of None is left out."""
        said = {"iss": self.name, "aud": "models", "sub": "alice", "exp": int(time.time()) + 60} | claims
        body = {name: value for name, value in said.items() if value is not None}
        head = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, body))
        return f"{signed}.{_text(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def vars_of(numbers: rsa.RSAPublicNumbers) -> list[tuple[str, int]]:
    return [("n", numbers.n), ("e", numbers.e)]


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
