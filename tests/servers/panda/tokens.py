"""Identity tokens: made by the test's own issuer, checked as the real server does.

Source: pandaserver/srvcore/{panda_request,oidc_utils}.py of panda-server 1.0.4. Unlike there, a
decision is not remembered: a token that expires is refused at once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .settings import VO

CLIENT_ID = "panda-test-client"
_KEY_ID = "panda-test-key"


class RefusedError(Exception):
    """The token is not accepted."""


@dataclass(frozen=True)
class Caller:
    """The caller of a request.

    Attributes:
        name: Name that the server writes into tasks; empty without a token.
        production: Whether the caller has the production role.
        variables: Answer of `system/get_attributes`.
    """

    name: str = ""
    production: bool = False
    variables: tuple[tuple[str, str], ...] = ()


class Issuer:
    """Makes and checks tokens with a key that it keeps in a folder.

    Args:
        folder: Contains the key; a new key is made if there is none.
        url: URL of the server; the URL of the issuer is below it.
    """

    def __init__(self, folder: Path, url: str) -> None:
        file = folder / "issuer.key"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(new_key())
        self._key = file.read_bytes()
        self.url = f"{url}/oidc"

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key Set."""
        key = serialization.load_pem_private_key(self._key, None)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))  # type: ignore[arg-type]
        return {"keys": [public | {"kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}

    def issue(
        self,
        user: str,
        seconds: float = 3600,
        *,
        groups: Sequence[str] = (VO,),
        audience: str = CLIENT_ID,
        issuer: str | None = None,
        key: bytes | None = None,
    ) -> str:
        """Make a token.

        Args:
            user: Of one or more words, which become ``Each Capital``.
            seconds: Time until it expires; less than 0 for an expired token.
            groups: ``VO`` or ``VO/role``.
            audience: Its audience.
            issuer: Its issuer; another issuer makes the server refuse it.
            key: Key that signs it; another key makes the server refuse it.
        """
        now = time.time()
        claims = {
            "iss": issuer or self.url,
            "aud": audience,
            "sub": f"id-of-{user}",
            "name": user,
            "preferred_username": user.replace(" ", "").lower(),
            "email": f"{user.replace(' ', '.')}@example.org",
            "groups": list(groups),
            "iat": int(now - 3600),
            "exp": int(now + seconds),
        }
        return jwt.encode(claims, key or self._key, "RS256", headers={"kid": _KEY_ID})

    def caller(self, token: str, origin: str | None) -> Caller:
        """Check a token.

        Args:
            token: Token of the header ``Authorization``.
            origin: Value of the header ``Origin``: ``VO``, ``VO:role`` or ``VO.role``.

        Raises:
            RefusedError: Why it is not accepted, in the real server's words.
        """
        try:
            claims = self._claims(token)
        except jwt.InvalidTokenError as error:
            raise RefusedError(f"Invalid token. {error}") from error
        if origin is None:
            raise RefusedError("Token decode failure. 'NoneType' object has no attribute 'replace'")
        vo, role = re.fullmatch(r"([^:.]*)(?:[:.](.*))?", origin).groups()  # type: ignore[union-attr]
        if vo != VO:
            raise RefusedError(f"Unknown vo : {vo}")
        groups = {group.removeprefix("/") for group in claims.get("groups", ())}
        if role and f"{vo}/{role}" not in groups:
            raise RefusedError(f"Not a member of the {vo}/{role} group")
        if not role and vo not in groups:
            raise RefusedError(f"Not a member of the {vo} group")
        name = " ".join(word.capitalize() for word in claims["name"].split())
        variables = {f"PANDA_OIDC_CLAIM_{claim}": str(value) for claim, value in claims.items()}
        variables |= {
            "PANDA_OIDC_VO": vo,
            "PANDA_OIDC_GROUP": role or vo,
            "PANDA_OIDC_ROLE": role or "user",
            "SSL_CLIENT_S_DN": f"{name}/CN=nickname:{claims['preferred_username']}",
        }
        if role:
            variables["GRST_CRED_AUTH_TOKEN_0"] = f"VOMS /{vo}/Role={role}"
        return Caller(name, role == "production", tuple(variables.items()))

    def _claims(self, token: str) -> dict[str, Any]:
        unverified = jwt.decode(token, options={"verify_signature": False})
        if unverified.get("aud") != CLIENT_ID:
            raise jwt.InvalidTokenError("cannot extract client_id from token")
        if "kid" not in (header := jwt.get_unverified_header(token)):
            raise jwt.InvalidTokenError("cannot extract kid from headers")
        if header["kid"] != _KEY_ID:
            raise jwt.InvalidTokenError(f"JWK not found for kid={header['kid']}")
        public = jwt.PyJWK(self.jwks["keys"][0])
        try:
            return jwt.decode(
                token, public, algorithms=["RS256"], audience=CLIENT_ID, issuer=self.url
            )
        except jwt.InvalidIssuerError as error:
            raise jwt.InvalidTokenError(f"failed to decode: {error}") from error


def new_key() -> bytes:
    """Return a new private key, as PEM."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
