"""An OpenID Connect provider on loopback: discovery, JWKS, the code flow with PKCE, signed tokens.

Whoever comes to /authorize is `person` and has agreed; a test changes `person`, `config`, `algorithm` or the keys.
`gets` are the places that were read; `sends` may make parts of a body, which comes to its end with the connection.
"""

import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import get_default_algorithms

CLIENT, SECRET, KEY_ID = "baton-test", "provider's secret", "key-1"


class Provider:
    """The provider and what reached it."""

    def __init__(self) -> None:
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self.algorithm = "RS256"
        self.key: Any = generate_private_key(65537, 2048)
        self.published: Any = self.key
        self.person: dict[str, Any] = {"sub": "s-1", "email": "alice@example.com", "email_verified": True, "name": "Al"}
        self.user_info: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.key_id = KEY_ID
        self.deny = False
        self.token_answer: dict[str, Any] | None = None
        self.asked: list[dict[str, str]] = []
        self.gets: list[str] = []
        self.sends: Callable[[str, bytes], Iterator[bytes]] = lambda path, body: iter([body])
        self._codes: dict[str, dict[str, str]] = {}
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def discovery(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        found: dict[str, Any] = {name: f"{self.issuer}/{place}" for name, place in places.items()}
        return found | {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo"} | self.config

    def keys(self) -> dict[str, Any]:
        public = json.loads(get_default_algorithms()[self.algorithm].to_jwk(self.published.public_key()))
        return {"keys": [public | {"kid": self.key_id, "alg": self.algorithm, "use": "sig"}]}

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser goes back to."""
        self.asked.append(query)
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert query["code_challenge_method"] == "S256"
        if self.deny:
            return f"{query['redirect_uri']}?{urlencode({'error': 'access_denied', 'state': query['state']})}"
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        query = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if query is None or query["code_challenge"] != challenge or form.get("client_secret") != SECRET:
            return 400, {"error": "invalid_grant"}
        if self.token_answer is not None:
            return 200, self.token_answer
        now = int(time.time())
        told = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": query["nonce"]}
        claims = told | self.person | self.claims
        signed = jwt.encode(claims, self.key, self.algorithm, {"kid": self.key_id})
        return 200, {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": signed}


def another_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.provider.gets.append(url.path)
        match url.path:
            case "/.well-known/openid-configuration":
                self._answer(200, self.provider.discovery())
            case "/jwks":
                self._answer(200, self.provider.keys())
            case "/userinfo":
                self._answer(200, self.provider.user_info)
            case "/authorize":
                self.send_response(302)
                self.send_header("Location", self.provider.authorize(dict(parse_qsl(url.query))))
                self.end_headers()
            case _:
                self._answer(404, {})

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(*self.provider.token(dict(parse_qsl(sent))))

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has had enough
            for part in self.provider.sends(urlsplit(self.path).path, body):
                self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
