"""Gets and refreshes the tokens of panda-client, in the Python that has it.

Run by path, with the terminal attached, it logs the user in, or tries to refresh the token first:
``python login.py [refresh]``. What went wrong is the last line of stderr. ``program`` imports it,
so that panda-client, whose every call may start to ask the user, never does. It imports nothing of
this package.

panda-client 2.2.0 rewrites the file for each token, with permissions by the umask, half of it
visible to others; it drops the refresh token if an answer has no new one, as such answers may
(RFC 6749, 6); and all its threads refresh at once. So it works here in a separate folder, under a
lock, and its file is moved into place.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import math
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MARGIN = 600.0
"""Seconds before the end of a token at which it is refreshed: panda-client does so at 300."""

_TOKEN_FILE = ".token"  # noqa: S105 - a name
_LOCK_FILE = ".token.lock"
_VARIABLES = ("PANDA_AUTH_ID_TOKEN", "OIDC_AUTH_TOKEN_FILE", "OIDC_AUTH_ID_TOKEN")
_TIMEOUT = 60.0  # of each connection; panda-client sets none
_PAUSE = 20.0  # after a refresh that failed

# Messages of panda-client 2.2.0 and of token issuers, and their meaning.
_REASONS = (
    ("invalid_grant", "the server does not accept it any more"),
    ("aborted", "you have answered n"),
    ("access_denied", "the request was refused on the page"),
    ("slow_down", "its server was asked too often; try again"),
    ("expired_token", "the request was not confirmed in time"),
    ("cannot unpack non-iterable NoneType", "the request was not confirmed in time"),
    ("'id_token'", "the answer had no ID token; its server does not know the scope openid"),
)


class LoginError(Exception):
    """There is no good token: the text says why."""


def take_care() -> None:
    """Make panda-client of this process refresh its token in time, and never ask the user.

    Its calls raise ``LoginError`` instead. Tokens in variables that have expired are passed over,
    and line ends after a token, which no header may have, are dropped.
    """
    from pandaclient import Client, openidc_utils

    lock = threading.Lock()
    failure, until = "", 0.0

    def token_string(*_: Any, **__: Any) -> str | None:
        return _given_token()

    def token_of_file(self: Any) -> tuple[bool, str]:
        nonlocal failure, until
        root = Path(self.token_dir)
        # While one thread gets a new token, the others go on with the old one if it is good.
        if lock.acquire(blocking=_seconds_left(_read(root)) <= 0):
            try:
                if time.monotonic() >= until:
                    failure = "the new one has expired already by the clock here"
                    refresh(root, self.auth_config_url)
            except LoginError as error:
                failure, until = str(error), time.monotonic() + _PAUSE
            finally:
                lock.release()
        fields = _read(root)
        if _seconds_left(fields) > 0:
            return True, str(fields["id_token"])
        raise LoginError(f"no valid token in {root / _TOKEN_FILE}: {failure}")

    socket.setdefaulttimeout(_TIMEOUT)
    Client.get_token_string = token_string
    openidc_utils.OpenIdConnect_Utils.run_device_authorization_flow = token_of_file


def refresh(root: Path, url: str, margin: float = MARGIN) -> None:
    """Refresh the token if less than some seconds of it are left.

    Args:
        root: Folder of the token file.
        url: Where the server describes how to get tokens.
        margin: Those seconds.

    Raises:
        LoginError: It is due, and was not refreshed.
    """
    if _seconds_left(_read(root)) > margin:
        return
    try:
        with _locked(root):
            fields = _read(root)
            if _seconds_left(fields) <= margin:  # another thread or run may have done it
                _refresh(root, url, str(fields.get("refresh_token") or ""))
    except KeyError as error:
        raise LoginError(f"{url}: an answer had no {error}") from error
    except OSError as error:
        raise LoginError(f"{error.filename or root}: {error.strerror or error}") from error


def _refresh(root: Path, url: str, token: str) -> None:
    if not token:
        raise LoginError("there is no refresh token")
    with _own_folder(root) as folder:
        client = _oidc(url, folder)
        config = _fetched(client.fetch_page(url))
        endpoint = _fetched(client.fetch_page(config["oidc_config_url"]))["token_endpoint"]
        done, reason = client.refresh_token(
            endpoint, config["client_id"], config["client_secret"], token
        )
        if not done:
            raise LoginError(f"the token could not be refreshed: {_in_words(str(reason))}")
        _move(folder, root, token)


def log_in(root: Path, url: str) -> None:
    """Let panda-client ask the user for a new token.

    Args:
        root: Folder of the token file.
        url: Where the server describes how to get tokens.

    Raises:
        LoginError: There is none.
    """
    with _own_folder(root) as folder:
        try:
            done, reason = _oidc(url, folder).run_device_authorization_flow()
        except EOFError as error:
            raise LoginError("there is no terminal to answer at") from error
        except KeyError as error:
            raise LoginError(f"{url}: an answer had no {error}") from error
        except Exception as error:
            raise LoginError(_in_words(f"{type(error).__name__}: {error}")) from error
        if not done and "configuration" in str(reason):
            raise LoginError(f"{url}: {reason}; are PANDA_URL_SSL and PANDA_AUTH_VO right?")
        if not done:
            raise LoginError(_in_words(str(reason)))
        with _locked(root):
            _move(folder, root)


def config_url() -> str:
    """Return the URL where the server describes how to get tokens of the VO."""
    from pandaclient import Client

    server = urlsplit(Client.baseURLSSL)
    vo = os.environ.get("PANDA_AUTH_VO") or os.environ["OIDC_AUTH_VO"]
    return f"{server.scheme}://{server.netloc}/auth/{vo}_auth_config.json"


def _given_token() -> str | None:
    for variable in _VARIABLES:
        token = os.environ.get(variable, "")
        if token and variable == "OIDC_AUTH_TOKEN_FILE":
            try:
                token = Path(token).read_text()
            except OSError as error:
                raise LoginError(f"{token} ({variable}): {error.strerror}") from error
        token = token.strip()
        if token and _seconds_left({"id_token": token}) > 0:
            return token
    return None


def _read(root: Path) -> dict[str, Any]:
    try:
        fields = json.loads((root / _TOKEN_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _seconds_left(fields: dict[str, Any]) -> float:
    """Return the seconds for which a token is valid: 0 if it is missing, infinity if unlimited."""
    try:
        payload = fields["id_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return math.inf if claims.get("exp") is None else float(claims["exp"]) - time.time()
    except (LookupError, ValueError, TypeError, AttributeError):
        return 0.0


def _oidc(url: str, folder: Path) -> Any:
    from pandaclient import PLogger, openidc_utils

    return openidc_utils.OpenIdConnect_Utils(
        url, token_dir=str(folder), log_stream=PLogger.getPandaLogger()
    )


def _fetched(answer: tuple[bool, Any]) -> dict[str, Any]:
    found, content = answer
    if not found or not isinstance(content, dict):
        raise LoginError(f"the server does not say how to get tokens ({content})")
    return content


@contextlib.contextmanager
def _own_folder(root: Path) -> Iterator[Path]:
    """Make a folder for panda-client, which only the user can look into."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".login-", dir=root) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (root / _LOCK_FILE).open("w") as file:
        with contextlib.suppress(OSError):  # some network filesystems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _move(folder: Path, root: Path, refresh_token: str = "") -> None:
    """Install the new token, with the last refresh token if it has none."""
    new = folder / _TOKEN_FILE
    fields = json.loads(new.read_text())
    if refresh_token and not fields.get("refresh_token"):
        fields["refresh_token"] = refresh_token
        new.write_text(json.dumps(fields))
    new.chmod(0o600)
    new.replace(root / _TOKEN_FILE)


def _in_words(reason: str) -> str:
    return next((meaning for part, meaning in _REASONS if part in reason), reason)


def main() -> None:
    """Get a new token."""
    socket.setdefaulttimeout(_TIMEOUT)
    root = Path(os.environ["PANDA_CONFIG_ROOT"])
    try:
        url = config_url()
        if "refresh" in sys.argv:
            try:
                refresh(root, url, math.inf)
            except LoginError as error:
                print(f"{error}; asking for a new one.", flush=True)
            else:
                return
        log_in(root, url)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except ImportError as error:
        sys.exit(f"panda-client cannot be imported: {error}")
    except OSError as error:
        sys.exit(f"{error.filename or root}: {error.strerror or error}")
    except LoginError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
