"""The issuer's web pages, as panda-client's ``openidc_utils`` uses them.

Device authorization (RFC 8628) and refresh tokens. Whether "the user" has agreed is a switch.
"""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .model import Store
from .settings import VO
from .tokens import CLIENT_ID, Issuer

_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class IssuerPages:
    """The pages.

    Attributes:
        approved: The user who approves every request; None for nobody.
        denied: Whether the user denies every request.
        lifetime: Lifetime of identity tokens, in seconds.
    """

    def __init__(self, issuer: Issuer, store: Store, server: str) -> None:
        self._issuer = issuer
        self._store = store
        self._server = server
        self.approved: str | None = None
        self.denied = False
        self.lifetime = 3600.0

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/auth/{name}_auth_config.json", self._auth_config),
            Route("/oidc/.well-known/openid-configuration", self._configuration),
            Route("/oidc/jwks", self._jwks),
            Route("/oidc/device", self._device, methods=["POST"]),
            Route("/oidc/token", self._token, methods=["POST"]),
        ]

    def refresh_token(self, user: str) -> str:
        """Make a refresh token, which is exchanged for new identity tokens."""
        made = secrets.token_urlsafe(24)
        self._store.put("refresh", made, user)
        return made

    async def _auth_config(self, request: Request) -> Response:
        vo = request.path_params["name"]
        if vo.replace(":", ".").partition(".")[0] != VO:
            return Response("not found", 404)
        return JSONResponse(
            {
                "audience": "https://panda.example.org",
                "client_id": CLIENT_ID,
                "client_secret": "not-a-secret",
                "oidc_config_url": f"{self._issuer.url}/.well-known/openid-configuration",
                "vo": vo,
                "no_verify": "True",
                "robot_ids": "NONE",
            }
        )

    async def _configuration(self, request: Request) -> Response:
        url = self._issuer.url
        return JSONResponse(
            {
                "issuer": url,
                "jwks_uri": f"{url}/jwks",
                "device_authorization_endpoint": f"{url}/device",
                "token_endpoint": f"{url}/token",
                "grant_types_supported": [_DEVICE_CODE, "refresh_token"],
            }
        )

    async def _jwks(self, request: Request) -> Response:
        return JSONResponse(self._issuer.jwks)

    async def _device(self, request: Request) -> Response:
        async with request.form() as form:
            if form.get("client_id") != CLIENT_ID:
                return JSONResponse({"error": "invalid_client"}, 401)
        code, user_code = secrets.token_urlsafe(24), secrets.token_hex(4).upper()
        self._store.put("device", code, user_code)
        return JSONResponse(
            {
                "device_code": code,
                "user_code": user_code,
                "verification_uri": f"{self._issuer.url}/verify",
                "verification_uri_complete": f"{self._issuer.url}/verify?user_code={user_code}",
                "expires_in": 300,
                "interval": 0,
            }
        )

    async def _token(self, request: Request) -> Response:
        async with request.form() as form:
            match form.get("grant_type"):
                case "urn:ietf:params:oauth:grant-type:device_code":
                    if not self._store.get("device", str(form.get("device_code"))):
                        return JSONResponse({"error": "expired_token"}, 400)
                    if self.denied:
                        return JSONResponse({"error": "access_denied"}, 400)
                    if self.approved is None:
                        return JSONResponse({"error": "authorization_pending"}, 400)
                    self._store.put("device", str(form.get("device_code")), None)
                    return self._tokens(self.approved)
                case "refresh_token":
                    user = self._store.get("refresh", old := str(form.get("refresh_token")))
                    if not user:
                        return JSONResponse({"error": "invalid_grant"}, 400)
                    self._store.put("refresh", old, None)
                    return self._tokens(user)
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _tokens(self, user: str) -> Response:
        token = self._issuer.issue(user, self.lifetime)
        return JSONResponse(
            {
                "id_token": token,
                "access_token": token,
                "refresh_token": self.refresh_token(user),
                "token_type": "Bearer",
                "expires_in": int(self.lifetime),
            }
        )
