"""Classifies errors of Rucio: transient and permanent errors, bad credentials.

Names are those of rucio-clients 41.5.1 (``rucio/common/exception.py``), which raise the class that
the server names, and of requests. What no list knows counts as transient: an error that nobody
thought of must lose no job, and retries end by elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from ...console.format import clause
from ...model.errors import (
    CredentialsError,
    DiskFullError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)

_MISSING = frozenset({"DataIdentifierNotFound", "ReplicaNotFound"})
_CREDENTIALS = frozenset({"CannotAuthenticate", "NoAuthInformation", "IdentityNotFound"})
_TRANSIENT = frozenset(
    {
        *("ServerConnectionException", "ServiceUnavailable", "ResourceTemporaryUnavailable"),
        *("DatabaseException", "ReplicationRuleCreationTemporaryFailed", "RSENotConnected"),
        *("ConnectionError", "Timeout", "ChunkedEncodingError", "ContentDecodingError"),
    }
)
_PERMANENT = frozenset(
    {
        # Who may do it
        *(
            "AccessDenied",
            "AccountNotFound",
            "CannotAuthorize",
            "ScopeAccessDenied",
            "IdentityError",
        ),
        *("InsufficientAccountLimit", "RSEOverQuota", "ManualRuleApprovalBlocked"),
        # The request
        *("TakenError", "DamagedError", "DataIdentifierAlreadyExists", "DIDError", "InvalidObject"),
        *("InputValidationError", "InvalidMetadata", "InvalidPath", "InvalidRSEExpression"),
        *("InvalidReplicationRule", "InvalidRequest", "InvalidType", "InvalidValueForKey"),
        *("RSEFileNameNotSupported", "RSENotFound", "ScopeNotFound", "UnsupportedOperation"),
        *("UnsupportedDIDType", "ScratchDiskLifetimeConflict", "StagingAreaRuleRequiresLifetime"),
        *("FileConsistencyMismatch", "InsufficientTargetRSEs", "InvalidRuleWeight"),
        *("InvalidSchema", "InvalidURL", "MissingSchema", "KeyNotFound", "DuplicateRule"),
        # The set-up
        *("ConfigNotFound", "ConfigurationError", "ConfigLoadingError", "MissingClientParameter"),
        *("ClientProtocolNotFound", "ClientProtocolNotSupported", "MissingModuleException"),
        *("MissingDependency", "ModuleNotFoundError", "ImportError", "NoOptionError"),
        *("NoSectionError", "ParsingError", "PolicyPackageBaseException", "VONotFound"),
        *("ClientParameterMismatch", "RSEProtocolNotSupported", "CallError"),
        "RSEOperationNotSupported",
    }
)
# Fragments of messages, in lower case.
_CREDENTIAL_TEXTS = (
    *("alert certificate expired", "alert bad certificate", "alert certificate unknown"),
    *("alert unknown ca", "alert certificate required", "x.509 client certificate not found"),
    *("cannot find a valid x509 proxy", "'client_proxy'", "x509_user_proxy is not set"),
    *("proxy has expired", "proxy expired", "certificate has expired", "token expired"),
    *("token has expired", "credential expired", "no delegated credentials"),
    # Of storage elements
    *("bad status code 401", "bad status code 403", "auth failed", "http 401", "http 403"),
    *("permission refused", "unauthorized"),
)
_FORBIDDEN_TEXTS = ("permission denied", "pfn has to be defined")
# Of the server, when a client asks for a token: the client takes them for a refusal.
_TROUBLE = (
    *("bad gateway", "service unavailable", "service temporarily unavailable", "gateway time"),
    *("internal server error", "databaseexception", "proxy error", "too many requests"),
)
_FULL_DISK = ("[errno 28]", "[errno 122]")  # ENOSPC, EDQUOT
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.I)
_UNFIT_ANSWER = "unexpected answer"
_STATUS = re.compile(r"http status code: (\d{3})")
_UNAUTHORIZED = 401
_FORBIDDEN = frozenset({400, 403, 405, 406, 411, 413, 414, 415, 422, 431})
_DETAILS = re.compile(r"\s*\n?Details:\s*")
_TAG = re.compile(r"<(style|script|head)\b.*?</\1\s*>|</?[a-z!][^>]*>", re.I | re.S)
_LONGEST = 600

_CA = "point X509_CERT_DIR, or ca_cert in rucio.cfg, to the certificates of the server's authority"
_CONFIG = "point RUCIO_HOME to the folder with etc/rucio.cfg, or RUCIO_CONFIG to that file"
_GFAL = "install gfal2 (conda-forge: python-gfal2) where rucio-clients are"
_HINTS = {
    "certificate verify failed": _CA,
    "certificate_verify_failed": _CA,
    "no module named 'rucio.core": "rucio.cfg is that of a server, with a section [database]; "
    "clients need one of their own",
    "no module named 'rucio": "install rucio-clients there, or name the Python that has them by "
    "--grid-rucio-python",
    "could not load rucio configuration": _CONFIG,
    "configuration not found": _CONFIG,
    "cannot be found in config file": _CONFIG,
    "gfal2": _GFAL,
    "pfn has to be defined": "choose a storage element that is deterministic",
    "quota": "remove files, or ask for more on this storage element",
    "can not add file replicas": "choose another storage element (--storage-grid-rucio-rse)",
    "rse does not exist": "see --storage-grid-rucio-rse",
    "rse expression": "see --storage-grid-rucio-rse",
    "account does not exist": "see --storage-grid-rucio-account and RUCIO_ACCOUNT",
    "scope does not exist": "see `rucio scope list`",
}
_RENEWALS = {
    "x509_proxy": "run 'voms-proxy-init -voms VO'",
    "x509": "see client_cert and client_key in rucio.cfg",
    "oidc": "run 'rucio whoami' in a terminal, which leads you to the login page",
    "userpass": "see username, password and account in rucio.cfg",
    "gss": "run 'kinit'",
    "ssh": "see ssh_private_key in rucio.cfg",
}
_STORE_CALLS = ("blob_urls", "blobs", "registration", "renewal")
_RSE = "give another storage element by rse= in --grid-store"
_STORE_HINTS = {
    "quota": f"remove files, ask for more, or {_RSE}",
    "requested resource denied": "give a scope of yours (see `rucio scope list`), and a storage "
    "element on which you may write, by --grid-store",
    "scope does not exist": "give a scope of yours by --grid-store: see `rucio scope list`",
    "rse does not exist": f"{_RSE}: see `rucio rse list`",
    "cannot be used by": _RSE,
    "is on tape": _RSE,
    "is not deterministic": _RSE,
}
_STORAGE_RENEWAL = "run 'voms-proxy-init -voms VO', or get a token that the storage element accepts"
TAKEN: Final = (
    "names in Rucio are never given to other content: use another name, or wait until it has been "
    "removed; what was removed keeps its name until the server's undertaker has run"
)
"""What to do about a name that is taken."""


def classify(exception: str, bases: Collection[str], message: str) -> type[GridError]:
    """Return the kind of error that a failed call is.

    Args:
        exception: Name of the exception's class.
        bases: Names of the classes above it.
        message: Its text.
    """
    text, names = message.casefold(), {exception, *bases}
    if _any(_FULL_DISK, text):
        return DiskFullError
    if exception in _MISSING:
        return MissingError
    if exception in ("CannotAuthenticate", "IdentityError") and _any(_TROUBLE, text):
        return TransientError
    if _any(_CREDENTIAL_TEXTS, text) or exception in _CREDENTIALS:
        return CredentialsError
    if "certificate verify failed" in text or "certificate_verify_failed" in text:
        return PermanentError
    if exception == "MovingError":
        ended = _any(_FORBIDDEN_TEXTS, text) or _only_gfal(message)
        return PermanentError if ended else TransientError
    if exception == "CallError" and _UNFIT_ANSWER in text:
        return TransientError
    if number := _STATUS.search(text):
        return _of_status(int(number[1]))
    # A subclass may say more than the class above it.
    for name in (exception, *bases):
        if name in _PERMANENT:
            return PermanentError
        if name in _TRANSIENT:
            return TransientError
    return PermanentError if "SystemExit" in names else TransientError


def error_of(
    name: str, exception: str, message: str, bases: Sequence[str] = (), auth: str = ""
) -> GridError:
    """Return the error to raise for a failed call.

    Args:
        name: Of the call.
        exception: Name of the exception's class.
        message: Its text.
        bases: Names of the classes above it.
        auth: How the client authenticates, as ``auth_type`` in rucio.cfg.
    """
    kind = classify(exception, bases, message)
    said = readable(message)
    if kind is not DiskFullError:  # or it is taken for that of this host
        said = _NO_SPACE.sub("no space is left there", said)
    if exception == "TakenError":
        return kind(f"Rucio does not take the file: {clause(said)}; {TAKEN}")
    if kind is DiskFullError:
        return kind(f"the disk of the submit host is full: {said}")
    hint = _hint(kind, message, auth, of_storage=exception == "MovingError")
    if name in _STORE_CALLS:
        hint = _store_hint(message) or hint
    return kind(f"Rucio, asked for {name.replace('_', ' ')}: {clause(said)}{hint}")


def readable(message: str) -> str:
    """Return a message as one line of limited length, also if it is an HTML page."""
    for end in ("Traceback (most recent", "Failed validating"):  # and a schema
        message = message.partition(end)[0]
    message = _DETAILS.sub(" ", message)
    line = " ".join(_TAG.sub(" ", message).split()) or "no reason given"
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _store_hint(message: str) -> str:
    text = message.casefold()
    return next((f"; {hint}" for fragment, hint in _STORE_HINTS.items() if fragment in text), "")


def _any(fragments: Sequence[str], text: str) -> bool:
    return any(fragment in text for fragment in fragments)


def _only_gfal(message: str) -> bool:
    """Return whether gfal2 is missing, and nothing else was tried."""
    return all("Missing dependency" in reason for reason in message.split("; "))


def _of_status(number: int) -> type[GridError]:
    if number == _UNAUTHORIZED:
        return CredentialsError
    return PermanentError if number in _FORBIDDEN else TransientError


def _hint(kind: type[GridError], message: str, auth: str, *, of_storage: bool) -> str:
    if kind is CredentialsError and of_storage:
        return f"; {_STORAGE_RENEWAL}"
    if kind is CredentialsError:
        return f"; {_RENEWALS.get(auth, 'see auth_type in rucio.cfg')}"
    text = message.casefold()
    return next((f"; {hint}" for fragment, hint in _HINTS.items() if fragment in text), "")
