"""A server that gives tokens as those of PanDA installations do, over loopback HTTP.

The device flow (RFC 8628) and refreshing (RFC 6749, 6), as far as panda-client 2.2.0 uses them, and
the page on the PanDA server that says where they are. Tokens are not signed.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

VO = "vo.test"
CLIENT = ("the-client", "its-secret")
DEVICE_CODE = "device-code-1"


def make_token(expires: float | None, **claims: Any) -> str:
    """Return an ID token that nobody has signed."""
    fields = {"preferred_username": "alice", "name": "Alice A.", "sub": "1234", **claims}
    if expires is not None:
        fields["exp"] = int(expires)
    return ".".join([_encoded({"alg": "none"}), _encoded(fields), "signature"])


def _encoded(fields: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


@dataclass
class OidcServer:
    """What it does next, and what it was asked.

    Attributes:
        polls: How often the client is told to wait before the outcome.
        outcome: ``""`` for a token, or the error of RFC 8628, 3.5.
        device_seconds: For which a device code is valid.
        lifetime: Of tokens, in seconds.
        refresh_tokens: Those that are valid.
        rotate: Whether a refresh token is valid once, and the answer has the next one.
        lacks: Field that no answer has.
        down: Whether the token endpoint answers 503.
        requests: The forms that were sent, with the path.
        issued: All tokens, of both kinds.
    """

    polls: int = 0
    outcome: str = ""
    device_seconds: int = 600
    lifetime: float = 7200
    refresh_tokens: set[str] = field(default_factory=set)
    rotate: bool = False
    lacks: str = ""
    down: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # It looks every half second by default whether it is to end.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str) -> list[dict[str, str]]:
        return [form for at, form in self.requests if at == path]

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.requests.append((path, form))
            if path == f"/auth/{VO}_auth_config.json":
                return 200, {
                    "client_id": CLIENT[0],
                    "client_secret": CLIENT[1],
                    "audience": "https://panda.test",
                    "oidc_config_url": f"{self.url}/.well-known/openid-configuration",
                    "vo": VO,
                }
            if path == "/.well-known/openid-configuration":
                return 200, {
                    "issuer": self.url,
                    "token_endpoint": f"{self.url}/token",
                    "device_authorization_endpoint": f"{self.url}/device",
                }
            if path == "/device" and form.get("client_id") == CLIENT[0]:
                return 200, {
                    "device_code": DEVICE_CODE,
                    "user_code": "ABCD",
                    "verification_uri_complete": f"{self.url}/verify?user_code=ABCD",
                    "interval": 0,
                    "expires_in": self.device_seconds,
                }
            if path == "/token":
                return self._token(form)
            return 404, {"error": "not_found"}

    def _token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        if self.down:
            return 503, {"error": "temporarily_unavailable"}
        if (form.get("client_id"), form.get("client_secret")) != CLIENT:
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "refresh_token":
            token = form["refresh_token"]
            if token not in self.refresh_tokens:
                return 400, {"error": "invalid_grant"}
            if self.rotate:
                self.refresh_tokens.remove(token)
            return 200, self._issue(with_refresh=self.rotate)
        if form["device_code"] != DEVICE_CODE:
            return 400, {"error": "invalid_grant"}
        if self.polls > 0:
            self.polls -= 1
            return 400, {"error": "authorization_pending"}
        if self.outcome:
            return 400, {"error": self.outcome}
        return 200, self._issue(with_refresh=True)

    def _issue(self, *, with_refresh: bool) -> dict[str, Any]:
        fields = {"id_token": make_token(time.time() + self.lifetime, jti=str(len(self.issued)))}
        if with_refresh:
            fields["refresh_token"] = f"refresh-{len(self.issued)}"
            self.refresh_tokens.add(fields["refresh_token"])
        self.issued += fields.values()
        return fields

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply({})

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._reply({key: values[0] for key, values in parse_qs(text).items()})

            def _reply(self, form: dict[str, str]) -> None:
                status, fields = server.answer(self.path, form)
                fields.pop(server.lacks, None)
                body = json.dumps(fields).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
