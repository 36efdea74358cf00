"""Errors of Rucio; names and texts are those of a real server and client (41.5.1)."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    DiskFullError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.resilience.calls import is_of_disk
from snakemake_executor_plugin_grid.stores.rucio.replies import classify, error_of, readable

RUCIO = ("RucioException", "Exception", "BaseException")
REQUESTS = ("ConnectionError", "RequestException", "OSError", "Exception")


@pytest.mark.parametrize(
    ("exception", "bases", "message", "kind"),
    [
        ("DataIdentifierNotFound", RUCIO, "Data identifier not found.", MissingError),
        ("CannotAuthenticate", RUCIO, "Cannot authenticate.", CredentialsError),
        ("CannotAuthenticate", RUCIO, "<h1>503 Service Unavailable</h1>", TransientError),
        ("CannotAuthenticate", RUCIO, "DatabaseException: Database exception.", TransientError),
        ("MissingClientParameter", RUCIO, "Option 'rucio_host' cannot be found", PermanentError),
        (
            "MissingClientParameter",
            RUCIO,
            "Cannot find a valid X509 proxy; checked $RUCIO_CLIENT_PROXY",
            CredentialsError,
        ),
        ("KeyError", ("LookupError", "Exception"), "'client_proxy'", CredentialsError),
        ("AccessDenied", RUCIO, "Account ci can not add file replicas on X", PermanentError),
        ("InsufficientAccountLimit", RUCIO, "There is not enough quota left", PermanentError),
        ("TakenError", ("CallError",), "s:f is registered with 7 bytes", PermanentError),
        ("DamagedError", ("CallError",), "Checksum validation failed", PermanentError),
        ("CallError", ("Exception",), "unexpected answer: 'x'", TransientError),
        ("CallError", ("Exception",), "X cannot be written by root", PermanentError),
        ("DatabaseException", RUCIO, "database is locked", TransientError),
        ("ServerConnectionException", RUCIO, "Cannot connect to the Rucio server", TransientError),
        ("ConnectionError", REQUESTS, "Connection refused", TransientError),
        ("ReadTimeout", ("Timeout", *REQUESTS[1:]), "Read timed out.", TransientError),
        ("SSLError", REQUESTS, "[SSL: CERTIFICATE_VERIFY_FAILED] x", PermanentError),
        ("SSLError", REQUESTS, "sslv3 alert certificate expired", CredentialsError),
        ("SSLError", REQUESTS, "UNEXPECTED_EOF_WHILE_READING", TransientError),
        ("ModuleNotFoundError", ("ImportError",), "No module named 'rucio'", PermanentError),
        ("ConfigNotFound", RUCIO, "Configuration not found.", PermanentError),
        ("PolicyPackageNotFound", ("PolicyPackageBaseException", *RUCIO), "x", PermanentError),
        ("RucioException", RUCIO[1:], "x (http status code: 503)", TransientError),
        ("RucioException", RUCIO[1:], "x (http status code: 404)", TransientError),
        ("RucioException", RUCIO[1:], "x (http status code: 401)", CredentialsError),
        ("RucioException", RUCIO[1:], "x (http status code: 403)", PermanentError),
        ("RucioException", RUCIO[1:], "An unknown exception occurred.", TransientError),
        ("MovingError", ("CallError",), "Connection refused; timed out", TransientError),
        ("MovingError", ("CallError",), "Missing dependency : gfal2", PermanentError),
        ("MovingError", ("CallError",), "refused; Missing dependency : gfal2", TransientError),
        ("MovingError", ("CallError",), "X509_USER_PROXY is not set", CredentialsError),
        ("MovingError", ("CallError",), "Bad status code 403 https://x", CredentialsError),
        ("MovingError", ("CallError",), "[FATAL] Auth failed: No protocols left", CredentialsError),
        ("MovingError", ("CallError",), "PFN has to be defined for X", PermanentError),
        ("MovingError", ("CallError",), "[3009] No space left on device", TransientError),
        ("MovingError", ("CallError",), "[3010] Unable; permission denied", PermanentError),
        ("MovingError", ("CallError",), "[Errno 28] No space left on device", DiskFullError),
        ("SystemExit", ("BaseException",), "1", PermanentError),
        ("NobodyKnows", ("Exception",), "x", TransientError),
    ],
)
def test_errors_are_told_apart(
    exception: str, bases: tuple[str, ...], message: str, kind: type[GridError]
) -> None:
    assert classify(exception, bases, message) is kind


@pytest.mark.parametrize(
    ("auth", "renewal"),
    [
        ("x509_proxy", "run 'voms-proxy-init -voms VO'"),
        ("oidc", "run 'rucio whoami' in a terminal"),
        ("userpass", "see username, password and account in rucio.cfg"),
        ("gss", "run 'kinit'"),
        ("", "see auth_type in rucio.cfg"),
    ],
)
def test_who_has_no_credentials_is_told_what_to_do(auth: str, renewal: str) -> None:
    error = error_of("metadata", "CannotAuthenticate", "Cannot authenticate.", RUCIO, auth)
    assert isinstance(error, CredentialsError)
    assert str(error).startswith("Rucio, asked for metadata: Cannot authenticate")
    assert renewal in str(error)


def test_the_full_disk_of_a_storage_element_is_not_ours() -> None:
    theirs = error_of("upload", "MovingError", "[3009] No space left on device")
    assert not is_of_disk(theirs)
    ours = error_of("download", "MovingError", "[Errno 28] No space left on device: '/x.part'")
    assert is_of_disk(ours)


def test_storage_has_credentials_of_its_own() -> None:
    error = error_of("download", "MovingError", "X509_USER_PROXY is not set", (), "userpass")
    assert "run 'voms-proxy-init -voms VO', or get a token" in str(error)
    assert "password" not in str(error)


@pytest.mark.parametrize(
    ("exception", "message", "hint"),
    [
        ("ModuleNotFoundError", "No module named 'rucio'", "install rucio-clients there"),
        ("ModuleNotFoundError", "No module named 'rucio.core.rse'", "a section [database]"),
        ("ConfigNotFound", "Could not load Rucio configuration file.", "point RUCIO_HOME to"),
        ("SSLError", "certificate verify failed", "X509_CERT_DIR"),
        ("MovingError", "Missing dependency : gfal2", "install gfal2"),
        ("InsufficientAccountLimit", "There is not enough quota left", "ask for more"),
        ("InvalidRSEExpression", "Provided RSE expression is invalid", "rucio-rse"),
    ],
)
def test_errors_come_with_a_hint(exception: str, message: str, hint: str) -> None:
    assert hint in str(error_of("start", exception, message))


def test_a_taken_name_says_what_to_do() -> None:
    error = error_of("upload", "TakenError", "s:f is registered with 7 bytes")
    assert str(error).startswith("Rucio does not take the file: s:f is registered with 7 bytes; ")
    assert "until the server's undertaker has run" in str(error)


def test_messages_are_one_line() -> None:
    said = "Access denied.\nDetails: Account ci can not"
    assert readable(said) == "Access denied. Account ci can not"
    page = "<html><head><title>x</title></head><body>\n<h1>Bad\nGateway</h1></body></html>"
    assert readable(page) == "Bad Gateway"
    assert readable("") == "no reason given"
    schema = "Problem validating dids: 'a+b' does not match '^x$' Failed validating 'pattern' in {"
    assert readable(schema) == "Problem validating dids: 'a+b' does not match '^x$'"
    assert "Traceback" not in readable("x\nTraceback (most recent call last):\n  File")
    assert len(readable("x" * 5000)) < 700
