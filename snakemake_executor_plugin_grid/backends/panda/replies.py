"""Classifies answers of PanDA: results, transient and permanent errors, bad credentials.

Texts are those of panda-server 1.0.4 (``server/panda.py``, ``srvcore/panda_request.py``,
``api/v1``), of httpx and of panda-client 2.2.0. What no list knows counts as transient: an error
that nobody thought of must lose no job, and retries end by elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from ...console.format import clause
from ...model.errors import CredentialsError, GridError, PermanentError, TransientError

RENEW: Final = "run 'snakemake-grid auth', or get a new proxy where PanDA is used with one"


class UnknownTaskError(PermanentError):
    """The server does not know a task: there is none, or JEDI has not taken it yet."""


# Fragments of messages, in lower case. Some texts are more than they seem: the first list counts.
_UNFIT = ("value too long", "value too large for column")  # for the database of iDDS
_TRANSIENT = (
    # The server cannot check a token, because it lacks the issuer's keys.
    *("httpconnectionpool", "httpsconnectionpool", "max retries exceeded", "expecting value"),
    # The database is busy or away.
    *("database error", "database exception", "failed to register", "error retrieving"),
    *("failed to retrieve", "exception while changing", "too many active tasks"),
)
_NO_TASK = ("task not found", "no data found for the task")
_NUMBERED_TASK = re.compile(r"jeditaskid=\d+ not found")
_PERMANENT = (
    # Who may do it
    *("is banned", "unknown vo", "not a member of", "is forbidden", "role required"),
    *("not the task owner", "is not owned by", "is missing production"),
    # The request
    *("command rejected", "argument error", "type error", "must be an integer"),
    *("expecting post", "expecting get", "is not a valid attribute", "is unsupported"),
    *("exceeded size limit", "is not found", "cannot overwrite", "wrong parameters"),
    *("failed to find parent", "failed to load json"),
    *("idds does not understand the task", "has no permission to update"),
    *("is not a command of idds", "name 'idds", "no section: 'rest'"),
    # The set-up
    *("certificate_verify_failed", "certificate verify failed", "no module named"),
    *("cannot be used", "requires panda_auth_vo", "vo is not defined", "unsupported protocol"),
    *("is missing an 'http://'", "wrong_version_number", "wrong version number"),
    *("record layer failure",),
)
_CREDENTIALS = (
    *("token authentication failed", "token verification failed", "token decode failure"),
    *("invalid token", "no valid token", "token has expired", "signature has expired"),
    *("permission denied", "limited proxy", "no https", "ssl secure connection is required"),
    *("valid x509 proxy", "find oidc token", "credentials for ssl", "alert certificate expired"),
    *("alert bad certificate", "alert certificate unknown", "alert unknown ca"),
    *("alert certificate required", "no required ssl certificate"),
)
_PERMANENT_EXCEPTIONS = frozenset({"ModuleNotFoundError", "ImportError", "NotImplementedError"})
_FULL_DISK = ("[errno 28]", "[errno 122]")  # ENOSPC, EDQUOT
_UNAUTHORIZED = frozenset({401, 403, 407})
# Of a proxy in front of the server. What else is below 500 may pass: 404, as a server that is
# being replaced answers so, 408, 425, 429.
_PERMANENT_STATUS = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})

_CA = (
    "point SSL_CERT_FILE, or X509_CERT_DIR where PanDA is used with a proxy, to the certificates "
    "of the server's authority"
)
_VO = "set PANDA_AUTH_VO to your virtual organisation"
_HTTPS = "see PANDA_URL_SSL: the server there does not speak HTTPS"
_NO_IDDS = "the PanDA server has no iDDS behind it; use --grid-panda-route jedi"
_HINTS = {
    "certificate_verify_failed": _CA,
    "certificate verify failed": _CA,
    "has exited with": "the client's log tells why",
    "no module named 'idds": "install the extra idds where panda-client is",
    "name 'idds": _NO_IDDS,
    "no section: 'rest'": _NO_IDDS,
    "character varying(20)": "iDDS has room for 20 characters of a user name; if yours is longer, "
    "use --grid-panda-route jedi",
    "no module named": "install panda-client, or see --grid-panda-python",
    "requires panda_auth_vo": _VO,
    "vo is not defined": _VO,
    "unknown vo": "see PANDA_AUTH_VO",
    "not a member of": "see PANDA_AUTH_VO: it has to be a group of yours",
    "is forbidden": "this server is older or newer than panda-client expects",
    "'http://'": "see PANDA_URL_SSL",
    "unsupported protocol": "see PANDA_URL_SSL",
    "wrong_version_number": _HTTPS,
    "wrong version number": _HTTPS,
    "record layer failure": _HTTPS,
}
_LONGEST = 600
_STATEMENT = re.compile(r"(?:\\n|\s)*\[SQL:.*", re.S)  # of SQLAlchemy, with all its values
_TAG = re.compile(r"<(style|script|head)\b.*?</\1\s*>|</?[a-z!][^>]*>", re.I | re.S)

_TASK = re.compile(r"jediTaskID=(\d+)")
_SERIAL = re.compile(r"\A\d{6,}:")
_QUEUED, _ACTIVE, _REACTIVATED, _SERVER_ERROR, _TOO_MANY = 1, 2, 3, 4, 10


def classify(code: int, message: str, exception: str = "") -> type[GridError]:
    """Return the kind of error that a failed call is.

    Args:
        code: Of the HTTP answer as panda-client has it: the status, 0 for one that arrived and
            is a refusal, 1 for none. The client's own errors have -1.
        message: Text of the answer, or of the exception.
        exception: Name of the exception's class, if one was raised.
    """
    text = message.casefold()
    if exception == "LoginError":
        return CredentialsError
    if exception in _PERMANENT_EXCEPTIONS or (exception and _any(_FULL_DISK, text)):
        return PermanentError
    if _any(_UNFIT, text):
        return PermanentError
    if code >= 500 or _any(_TRANSIENT, text):
        return TransientError
    if _any(_NO_TASK, text) or _NUMBERED_TASK.search(text):
        return UnknownTaskError if code == 0 else TransientError
    if _any(_PERMANENT, text):
        return PermanentError
    if code in _UNAUTHORIZED or _any(_CREDENTIALS, text):
        return CredentialsError
    return PermanentError if code in _PERMANENT_STATUS else TransientError


def error_of(name: str, code: int, message: str, exception: str = "") -> GridError:
    """Return the error to raise for a failed call.

    Args:
        name: Of the call.
        code: As of ``classify``.
        message: Text of the answer, or of the exception.
        exception: Name of the exception's class, if one was raised.
    """
    kind = classify(code, message, exception)
    said = readable(message)
    if exception and exception not in ("LoginError", "CallError"):
        said = f"{exception}: {said}"
    if exception and _any(_FULL_DISK, message.casefold()):
        return kind(f"the disk of the submit host is full: {said}")
    if code > 1:
        said = f"HTTP {code}: {said}"
    return kind(f"PanDA, asked for {name.replace('_', ' ')}: {clause(said)}{_hint(kind, message)}")


def readable(message: str) -> str:
    """Return a message as one line of limited length, also if it is an HTML page."""
    message = _STATEMENT.sub("", message.partition("Traceback (most recent")[0])
    line = " ".join(_TAG.sub(" ", message).split())
    line = line.removeprefix("ERROR : ").removeprefix("ERROR: ") or "no reason given"
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _any(fragments: Sequence[str], text: str) -> bool:
    return any(fragment in text for fragment in fragments)


def _hint(kind: type[GridError], message: str) -> str:
    if kind is CredentialsError:
        return f"; {RENEW}"
    text = message.casefold()
    return next((f"; {hint}" for fragment, hint in _HINTS.items() if fragment in text), "")


def submitted_task(answer: Any) -> tuple[int, bool]:
    """Return the id of a task, and whether a task of its name existed before.

    Args:
        answer: Of ``insertTaskParams``: ``(0, (code, message))``, with older servers
            ``(0, (code, message, id))``. The codes are those of ``insertTaskParamsPanda``.
            Server 1.0.4 has 3 for a task that is made to run again; its API makes that 0.

    Raises:
        TransientError: The server could not take it now.
        CredentialsError: The token is not accepted.
        PermanentError: It was refused: says why, in the server's words.
    """
    try:
        status, said = answer
        code, message = said[:2] if status == 0 else (None, str(said))
    except (TypeError, ValueError):
        said = readable(str(answer))
        raise TransientError(f"PanDA, asked for submit: unexpected answer: {said}") from None
    message = str(message)
    if code is None:
        raise error_of("submit", 0 if status == 0 else 1, message)
    number = _TASK.search(message)
    if number and code in (0, _QUEUED, _ACTIVE, _REACTIVATED):
        return int(number[1]), code != 0 or "reactivation" in message
    if code in (0, _SERVER_ERROR, _TOO_MANY):
        later = "; some have to end first" if code == _TOO_MANY else ""
        raise TransientError(f"PanDA does not take the task now: {readable(message)}{later}")
    raise PermanentError(f"PanDA does not take the task: {readable(message)} (code {code})")


def payload_files(answer: Any) -> dict[str, str]:
    """Return the statuses of payloads by their names.

    Args:
        answer: Of ``get_files_in_datasets``. The payloads of a task are the files of one
            pseudo dataset, each with a serial number before its name: ``000001:name``. Files
            without one are none of ours.
    """
    found: dict[str, str] = {}
    for dataset in answer if isinstance(answer, list) else ():
        for file in _files(dataset):
            lfn, status = file.get("lfn"), file.get("status")
            if isinstance(lfn, str) and isinstance(status, str) and _SERIAL.match(lfn):
                found[_SERIAL.sub("", lfn)] = status
    return found


def _files(dataset: Any) -> list[dict[str, Any]]:
    files = dataset.get("files") if isinstance(dataset, dict) else None
    return [file for file in files or () if isinstance(file, dict)]
