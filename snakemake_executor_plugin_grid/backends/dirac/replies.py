"""Classifies failed calls to DIRAC: try again, renew the proxy, or give up.

The error code of a reply is mostly 0, also during outages and for an expired proxy (seen with DIRAC
9.1.22), so the texts decide: those of ``Core/DISET``, ``Core/Tornado``, ``Core/Security``,
``JobManager``, ``JobModel``, ``JobManifest`` (8.0), ``SandboxStore``, ``DataManager`` and MySQL.
What no list knows counts as transient: an error that nobody thought of must lose no job, and
retries end by elapsed time.
"""

from __future__ import annotations

import ast
import re
from errno import EDQUOT, ENOSPC
from typing import Final

from ...console.format import clause
from ...model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from ...model.untrusted import UntrustedError
from ...resilience.connection_errors import unreachable
from .credentials import renewal
from .versions import SUPPORTED

RENEW: Final = (
    "get a proxy by `dirac-proxy-init -g GROUP`, or by `dirac-login GROUP` where the installation "
    "has tokens, GROUP being one that may submit jobs"
)

# Fragments of messages, in lower case.
_CREDENTIALS = (
    "no proxy found",
    "can't find proxy",
    "can't find a valid proxy",
    "can't read proxy",
    "can't load proxy",
    "invalid proxy chain",
    "proxy file does not exist",
    "chain is not a proxy",
    "does not contain a valid proxy",
    "no diracx token in the proxy",
    "no cert/key found",
    "can't find certificate",
    "valid certificate not found",
    "no certificate loaded",
    "no dirac group",
    "limited proxy",
    "access token expired",
    "bearer access token",
    "unauthorized query",
    "not authorized",
    "no access to http",  # what an HTTPS service answers with 401 or 403
    "alert certificate expired",
    "alert bad certificate",
    "alert certificate unknown",
    "alert unknown ca",
    "can't verify file",
)
_EXPIRED = ("pem file", "proxy ")
# DErrno: X509 and proxies, ENOAUTH, tokens.
_CREDENTIALS_CODES = frozenset({*range(1100, 1109), 1111, *range(1150, 1153)})

_PERMANENT = (
    # The job's description
    "validation error",
    "value error, ",
    "error in jdl syntax",
    "invalid job description",
    "invalid job jdl",
    "invalid job specification",
    "illegal job jdl",
    "value seems a list",
    "invalid sites",
    "input sandbox is not valid",
    "number of parametric jobs exceeds",
    "illegal number of job parameters",
    "inconsistent parametric job",
    "can not determine the number of job parameters",
    "does not match job description",
    "os compatibility info not found",
    "is not a valid value for",
    "must be a number",
    "greater than current limit",
    # Versions
    "is too old",
    "/dirac/setup is not defined",
    "option /dirac/setups/",
    "data too long",
    "(1406,",
    "(1366,",
    "(1264,",
    # Sandboxes and files
    "sandbox is too big",
    "size over the limit",
    "failed to locate files",
    "no such file or directory",
    "file name too long",
    "characters allowed",
    "must start with vo name",
    "already exists in the file catalog",
    "supplied file does not exist",
    "supplied file is zero size",
    "supplied storage doesn't exist",
    "not permitted for this credential",
    "not allowed for vo",
    # The set-up
    "no configuration servers found",
    "no cas found",
    "self-signed certificate",
    "self signed certificate",
    "unable to get local issuer",
    "no module named",
    # The interface
    "is not implemented",
    "unknown method",
    "type mismatch in parameter",
    "expects at least",
)
_PERMANENT_CODES = frozenset({1501})  # EWMSJDL
_FULL_DISK = frozenset({ENOSPC, EDQUOT})
_PERMANENT_EXCEPTIONS = frozenset({"ModuleNotFoundError", "ImportError", "NotImplementedError"})
_OF_THE_JOB = "SandboxError"  # its text may hold what the job has written, so no list is asked

_HINTS = {
    "no configuration servers found": (
        "DIRAC has no configuration here: source its bashrc, or set DIRACSYSCONFIG to its dirac.cfg"
    ),
    "no cas found": "set X509_CERT_DIR to the folder of the certificates of the authorities",
    "self-signed certificate": (
        "unset REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, or set X509_CERT_DIR, so that the "
        "authority of the server's certificate is found"
    ),
    "no module named": "see --grid-dirac-python",
    "client is too old": f"{SUPPORTED} are supported; see --grid-dirac-python",
    "/dirac/setup is not defined": (
        "a client of DIRAC 8 needs Setup in its dirac.cfg, whatever the server's version: run "
        "dirac-configure"
    ),
    "option /dirac/setups/": (
        "the server has no such setup: see Setup in the client's dirac.cfg; a server of DIRAC 9 "
        "has to serve NoSetup = True for clients of DIRAC 8"
    ),
    "sandbox is too big": "set a storage element by --grid-dirac-storage-element",
    "os compatibility info not found": "leave the platform out: the server knows none",
    "not allowed for vo": "choose another by --grid-dirac-storage-element",
    "supplied storage doesn't exist": "see --grid-dirac-storage-element",
}
_LONGEST = 600
# Details that pydantic adds for programmers.
_NOISE = re.compile(r" \[type=.*?\]( For further information visit \S+)?(?= |$)")


def classify(message: str, errno: int = 0, exception: str = "") -> type[GridError]:
    """Return the kind of error that a failed call is.

    Args:
        message: Of the reply, or of the exception.
        errno: Of the reply.
        exception: Name of the exception's class, if one was raised.
    """
    if exception == _OF_THE_JOB:
        return UntrustedError
    text = message.casefold()
    if any(fragment in text for fragment in _CREDENTIALS) or _has_expired(text):
        return CredentialsError
    if any(fragment in text for fragment in _PERMANENT) or exception in _PERMANENT_EXCEPTIONS:
        return PermanentError
    if exception and errno in _FULL_DISK:
        return PermanentError  # an error of the submit host
    if exception:
        return TransientError  # errno is that of the operating system
    if errno in _CREDENTIALS_CODES:
        return CredentialsError
    return PermanentError if errno in _PERMANENT_CODES else TransientError


def error_of(
    call: str, message: str, errno: int = 0, exception: str = "", group: str = ""
) -> GridError:
    """Return the error to raise for a failed call.

    Args:
        call: What DIRAC was asked to do, in a word.
        message: Of the reply, or of the exception.
        errno: Of the reply.
        exception: Name of the exception's class, if one was raised.
        group: DIRAC group of the proxy that was there before, if it is known.
    """
    kind = classify(message, errno, exception)
    if kind is TransientError and (cause := unreachable(message)):
        return UnreachableError(f"DIRAC does not answer ({cause})", cause)
    said = readable(message)
    if exception and exception not in ("SErrorException", "DIRACInitError", _OF_THE_JOB):
        said = f"{exception}: {said}"
    if exception and errno in _FULL_DISK:
        return kind(f"the disk of the submit host is full: {said}")
    return kind(
        f"DIRAC, asked to {call.replace('_', ' ')}: {clause(said)}{_hint(kind, message, group)}"
    )


def readable(message: str) -> str:
    """Return a message of DIRAC as one line of limited length."""
    # An SErrorException's text is the whole reply, with the calls that led to it.
    if message.startswith("{'OK': False"):
        try:
            message = str(ast.literal_eval(message)["Message"])
        except (ValueError, SyntaxError, KeyError):
            message = message.partition("'CallStack'")[0]
    line = _NOISE.sub("", " ".join(message.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _has_expired(text: str) -> bool:
    return "has expired" in text and any(sign in text for sign in _EXPIRED)


def _hint(kind: type[GridError], message: str, group: str) -> str:
    if kind is CredentialsError:
        return f"; run '{renewal(group)}'" if group else f"; {RENEW}"
    text = message.casefold()
    return next((f"; {hint}" for fragment, hint in _HINTS.items() if fragment in text), "")
