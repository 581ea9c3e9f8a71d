"""Runs in a pod: an OpenID Connect provider at which everybody is signed in at once, by the name in a file.

It keeps to the authorization code flow (https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth): a code is
good once, for the client it was made for, and only with that client's secret. Its argument: the folder with what it
needs, as `identity.py` writes it.
"""

import base64
import http.server
import json
import secrets
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

PLACE = Path(sys.argv[1])
SETTINGS = json.loads((PLACE / "settings.json").read_text())
CODES: dict[str, str] = {}


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers browsers at /authorize, and the client at /token."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if not self.path.startswith("/authorize") or asked.get("client_id") != [SETTINGS["client_id"]]:
            self.send_error(404)
            return
        code = secrets.token_urlsafe()
        CODES[code] = asked["redirect_uri"][0]
        back = f"{asked['redirect_uri'][0]}?{urlencode({'code': code, 'state': asked['state'][0]})}"
        self.send_response(302)
        self.send_header("Location", back)
        self.end_headers()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = self._client(form) == (SETTINGS["client_id"], SETTINGS["client_secret"])
        known = CODES.pop(form.get("code", [""])[0], None)
        if self.path != "/token" or not good or known != form["redirect_uri"][0]:
            self.send_error(401)
            return
        body = json.dumps({"access_token": token(), "id_token": token(), "token_type": "Bearer", "expires_in": 300})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _client(self, form: dict[str, list[str]]) -> tuple[str, str]:
        if header := self.headers.get("Authorization"):
            name, _, secret = base64.b64decode(header.split()[1]).decode().partition(":")
            return name, secret
        return form["client_id"][0], form["client_secret"][0]


def token() -> str:
    """Whoever signs in, as the provider says it."""
    claims = {"iss": SETTINGS["issuer"], "aud": SETTINGS["audience"], "sub": SETTINGS["user"], "exp": time.time() + 300}
    return jwt.encode(claims, (PLACE / "signing.pem").read_text(), algorithm="RS256", headers={"kid": "one"})


def main() -> None:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Provider)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PLACE / "tls.crt", PLACE / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
