"""The check of the user's token or proxy for PanDA, read as panda-client 2.2.0 reads it.

Claims are read without a check of the signature: the server checks it. No message contains a token.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ...console.format import duration
from ...model.errors import CredentialsError, PermanentError
from .certificates import owner, read_certificates

if TYPE_CHECKING:
    from .client import Client

AUTH_COMMAND: Final = "snakemake-grid auth"
"""Gets a new token."""

_AUTH = f"run '{AUTH_COMMAND}'"
_TOKEN_FILE = ".token"  # noqa: S105 - a name
# That of panda-client's setup scripts; without them it takes the working directory.
_CONFIG_ROOT = "~/.pathena"
# In the order in which panda-client reads them; all override the token file.
_TOKEN_VARIABLES = ("PANDA_AUTH_ID_TOKEN", "OIDC_AUTH_TOKEN_FILE", "OIDC_AUTH_ID_TOKEN")
_FILE_VARIABLES = ("OIDC_AUTH_TOKEN_FILE", "X509_USER_PROXY")
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_LAST_MOMENT = 1e11  # some thousands of years from now
# panda-client takes an empty one of these as set, so that it overrides others.
_EMPTY_IS_UNSET = (*_TOKEN_VARIABLES, "PANDA_AUTH_VO")


class _ExpiredError(CredentialsError):
    """It has expired, so that a good one elsewhere may take its place."""


@dataclass(frozen=True)
class Credentials:
    """A token or a proxy.

    Attributes:
        kind: Which of them.
        source: The variable or file where it is, in words.
        expires: Seconds since the epoch, None when that is unknown.
        refreshable: Whether there is a refresh token; then it may also have expired.
        user: Name in the claims or in the certificate, "" if there is none.
        vo: Virtual organisation (``PANDA_AUTH_VO``), "" if none is set.
        renewal: What the user can do to get a new one.
    """

    kind: Literal["token", "proxy"]
    source: str
    expires: float | None
    refreshable: bool
    user: str
    vo: str
    renewal: str

    def in_words(self, now: float) -> str:
        """Return whose credentials these are, and how long they are valid."""
        owner = f" of {self.user}" if self.user else ""
        vo = f" in VO {self.vo}" if self.vo else ""
        until = "does not say how long it is valid"
        if self.expires is not None:
            until = f"is valid until {moment(self.expires)} ({duration(self.expires - now)})"
        again = " and is then refreshed automatically" if self.refreshable else ""
        return f"{self.kind}{owner}{vo} ({self.source}) {until}{again}"


def uses_tokens(environment: Mapping[str, str]) -> bool:
    """Return whether panda-client uses a token, not a proxy.

    Raises:
        PermanentError: ``PANDA_AUTH`` is unknown, or there is no VO, which tokens need.
    """
    method = environment.get("PANDA_AUTH", "")
    if method in ("", "voms", "x509_no_grid"):
        return False
    if method != "oidc":  # which panda-client takes for "voms" without a word
        raise PermanentError(
            f"PANDA_AUTH={method} is unknown; set it to oidc (tokens), voms (a VOMS proxy) or "
            "x509_no_grid (a certificate)."
        )
    if not _vo(environment):
        raise PermanentError(
            "PANDA_AUTH=oidc needs your virtual organisation as well; set PANDA_AUTH_VO."
        )
    return True


def config_root(environment: Mapping[str, str]) -> Path:
    """Return the folder of the token file: ``PANDA_CONFIG_ROOT``, by default ``~/.pathena``.

    Raises:
        PermanentError: There is no home directory.
    """
    try:
        return Path(environment.get("PANDA_CONFIG_ROOT") or _CONFIG_ROOT).expanduser().absolute()
    except RuntimeError as error:
        raise PermanentError(
            "the folder for your PanDA token is unknown, as you have no home directory; set "
            "PANDA_CONFIG_ROOT."
        ) from error


def read_credentials(environment: Mapping[str, str], now: float) -> Credentials:
    """Read what panda-client uses, given ``client_environment`` and ``login.take_care``.

    Args:
        environment: Variables of this process.
        now: Seconds since the epoch.

    Raises:
        CredentialsError: It is missing, damaged, or has expired and cannot be refreshed: says which
            and what to do.
        PermanentError: The variables are wrong.
    """
    if not uses_tokens(environment):
        return _read_proxy(environment, now)
    variable = preferred_variable(environment, now)
    if variable:
        return _read_variable(variable, environment, now)
    try:
        return read_token_file(environment, now)
    except CredentialsError:
        for expired in _set_variables(environment):
            _read_variable(expired, environment, now)  # what the user has set is to be named
        raise


def preferred_variable(environment: Mapping[str, str], now: float) -> str:
    """Return the variable whose token overrides the token file, "" if there is none.

    Those that have expired count for nothing: ``login.take_care`` passes them over.
    """
    for variable in _set_variables(environment):
        try:
            _read_variable(variable, environment, now)
        except _ExpiredError:
            continue
        except CredentialsError:
            pass  # the user meant it, so its problem is reported
        return variable
    return ""


def read_token_file(environment: Mapping[str, str], now: float) -> Credentials:
    """Read the file in which panda-client keeps its token.

    Raises:
        CredentialsError: See ``read_credentials``.
    """
    source = f"file {config_root(environment) / _TOKEN_FILE}"
    text = _read_file(config_root(environment) / _TOKEN_FILE, f"PanDA token in {source}", _AUTH)
    try:
        fields = json.loads(text)
        token, refreshable = str(fields["id_token"]), bool(fields.get("refresh_token"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CredentialsError(f"{source} holds no PanDA token; {_AUTH}.") from error
    found = _token(token, source, environment, _AUTH)
    if not refreshable:
        _check_expiry(found, now)
    return replace(found, refreshable=refreshable)


def judge(credentials: Credentials, margin_seconds: float, now: float) -> str:
    """Return a warning if they expire within some seconds and cannot be refreshed.

    Args:
        credentials: They were good when they were read.
        margin_seconds: How long they should be valid.
        now: Seconds since the epoch.
    """
    if credentials.expires is None or credentials.refreshable:
        return ""
    left = credentials.expires - now
    if left >= margin_seconds:
        return ""
    return (
        f"the {credentials.kind} in {credentials.source} expires in {duration(left)}; "
        f"{credentials.renewal} before that."
    )


async def check_credentials(client: Client, margin_seconds: float) -> str:
    """Read the credentials; the client refreshes a token that can be refreshed, when it is time.

    Args:
        client: Of the server.
        margin_seconds: How long they should be valid.

    Returns:
        A warning when they expire before, else nothing.

    Raises:
        CredentialsError: They are missing or have expired: says what to run.
    """
    found = await asyncio.to_thread(read_credentials, os.environ, time.time())
    if found.refreshable:
        await client.call("refresh")
        found = await asyncio.to_thread(read_credentials, os.environ, time.time())
    return judge(found, margin_seconds, time.time())


def client_environment(environment: Mapping[str, str], now: float) -> dict[str, str]:
    """Return the variables for the process that has panda-client.

    Paths are absolute, as that process works elsewhere; a variable with a token that has expired is
    left out, so that the next one counts; and the client does not look for the hosts behind a name,
    for which its very import needs a network (seen with 2.2.0).

    Args:
        environment: Variables of this process.
        now: Seconds since the epoch.

    Raises:
        PermanentError: There is no home directory.
    """
    result = {
        key: value for key, value in environment.items() if value or key not in _EMPTY_IS_UNSET
    }
    result["PANDA_BEHIND_REAL_LB"] = "1"
    result["PANDA_CONFIG_ROOT"] = str(config_root(environment))
    for variable in _FILE_VARIABLES:
        if result.get(variable):
            result[variable] = str(Path(result[variable]).absolute())
    for variable in _set_variables(environment):
        if variable not in _FILE_VARIABLES:  # another token may be in the file later
            try:
                _read_variable(variable, environment, now)
            except _ExpiredError:
                del result[variable]
            except CredentialsError:
                pass  # the user meant it, so its problem is reported
    return result


def moment(seconds: float) -> str:
    """Return a point in time in words, such as "2026-11-21 06:22 UTC"."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _vo(environment: Mapping[str, str]) -> str:
    return environment.get("PANDA_AUTH_VO") or environment.get("OIDC_AUTH_VO") or ""


def _set_variables(environment: Mapping[str, str]) -> list[str]:
    return [variable for variable in _TOKEN_VARIABLES if environment.get(variable)]


def _read_variable(variable: str, environment: Mapping[str, str], now: float) -> Credentials:
    value, source = environment[variable], f"variable {variable}"
    renewal = f"renew {variable}, or unset it and {_AUTH}"
    if variable in _FILE_VARIABLES:
        source = f"file {value} ({variable})"
        value = _read_file(Path(value), f"PanDA token in {source}", renewal)
    found = _token(value.strip(), source, environment, renewal)
    _check_expiry(found, now)
    return found


def _token(token: str, source: str, environment: Mapping[str, str], renewal: str) -> Credentials:
    try:
        claims = _claims(token)
        expires = None if claims.get("exp") is None else float(claims["exp"])
        if expires is not None and not 0 <= expires < _LAST_MOMENT:
            raise ValueError(expires)
    except (ValueError, LookupError, TypeError, AttributeError):
        # Without its cause, of which the token may be a part.
        raise CredentialsError(f"{source} holds no ID token (a JWT); {renewal}.") from None
    names = (claims.get(name) for name in ("preferred_username", "name", "sub"))
    user = str(next(filter(None, names), ""))
    return Credentials("token", source, expires, False, user, _vo(environment), renewal)


def _claims(token: str) -> dict[str, Any]:
    if not _JWT.fullmatch(token):
        raise ValueError("no JWT")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise TypeError("claims are an object")
    return claims


def _read_proxy(environment: Mapping[str, str], now: float) -> Credentials:
    path = environment.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}"  # noqa: S108
    source, vo = f"file {path}", _vo(environment)
    if environment.get("PANDA_AUTH") == "x509_no_grid":
        renewal = "name the file with your certificate and its key by X509_USER_PROXY"
    else:
        renewal = f"run 'voms-proxy-init -voms {vo or 'VO'}', or set PANDA_AUTH=oidc to use tokens"
    if not any(name.startswith("PANDA_") for name in environment):
        renewal += "; no PANDA_… variable is set: has the set-up of your installation been sourced?"
    text = _read_file(Path(path), f"proxy for PanDA in {source}", renewal)
    try:
        certificates = read_certificates(text)
    except ValueError as error:
        raise CredentialsError(f"a certificate in {source} is damaged; {renewal}.") from error
    if certificates == [] or "PRIVATE KEY-----" not in text:
        raise CredentialsError(f"{source} holds no certificate with its key; {renewal}.")
    # Each of the chain must be valid for the proxy to be.
    expires = min(each.expires for each in certificates) if certificates else None
    user = owner(certificates[0].common_names) if certificates else ""
    found = Credentials("proxy", source, expires, False, user, vo, renewal)
    _check_expiry(found, now)
    return found


def _read_file(path: Path, what: str, renewal: str) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise CredentialsError(f"there is no {what}; {renewal}.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CredentialsError(f"cannot read the {what}: {reason}; {renewal}.") from error


def _check_expiry(credentials: Credentials, now: float) -> None:
    expires = credentials.expires
    if expires is not None and expires <= now:
        raise _ExpiredError(
            f"the {credentials.kind} in {credentials.source} has expired at {moment(expires)} (it "
            f"is {moment(now)} by the clock here); {credentials.renewal}."
        )
