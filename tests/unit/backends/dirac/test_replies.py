from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.backends.dirac.replies import classify, error_of, readable
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
    UnreachableError,
)

UNREACHABLE = [
    "('127.0.0.1', 25039) [Errno 111] Connection refused:ConnectionRefusedError(111, "
    "'Connection refused')",
    "Reason(s):\n\t('127.0.0.1', 25039) [Errno 111] Connection refused:"
    "ConnectionRefusedError(111, 'Connection refused')",
    "HTTPSConnectionPool(host='127.0.0.1', port=25039): Max retries exceeded with url: /W (Caused "
    "by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to "
    "establish a new connection: [Errno 111] Connection refused')): None",
]

# Texts as DIRAC 9.1.22 gives them, with the code that came along.
TRANSIENT = [
    ("('127.0.0.1', 36132) [Errno 111] Connection refused:ConnectionRefusedError(111, 'x')", 0),
    ("Can't connect to dips://host:9132/WorkloadManagement/JobManager: SSLError('x')", 0),
    ("Error in _read: [Errno 104] Connection reset by peer ConnectionResetError(104, 'x')", 0),
    ("URL for service WorkloadManagement/JobMonitoring not found", 0),
    ("Cannot get URL for WorkloadManagement/JobManager : Exception('No Main servers')", 0),
    ("DNS lookup failed gaierror(-3, 'Temporary failure in name resolution')", 0),
    ("Socket read timeout exceeded", 0),
    ("Connection seems stalled. Closing...", 0),
    ("Peer closed connection", 0),
    ("Maximum number of connections reached. Try later", 0),
    ("WorkloadManagement/JobManager is not up in this server", 0),
    ("HTTPSConnectionPool(host='h', port=8443): Max retries exceeded with url: /W: None", 0),
    ("502 Server Error: Bad Gateway for url: https://h/W/JobManager: <html></html>", 0),
    ("404 Client Error: Not Found for url: https://h/W/X: https://h/W/X is not found", 0),
    ("Server error while serving submitJob: 'NoneType' object is not subscriptable", 0),
    ("MySQL Error ( 1131 : Could not connect: (2002, \"Can't connect to server on 'db'\"))", 1131),
    ("Execution failed.: ((2006, 'Server has gone away') )", 1131),
    ("Execution failed.: ((1213, 'Deadlock found when trying to get lock') )", 1131),
    ("Failed to insert JDL in to DB", 1503),
    ("Failed to get job policies", 1503),
    ("Job submission failed to confirm bulk transaction", 1503),
    ("Error uploading sandbox", 0),
    ("Not enough disk space", 0),
    ("Failed to perform hasAccess from any catalog", 1604),
    ("Server is not available: unexpected answer None", 0),
    ("", 0),
]
CREDENTIALS = [
    ("Reason(s):\n\tNo proxy found", 0),
    ("Can't find proxy ( 1101 : )", 1101),
    ("PEM file /tmp/x509up_u1000 has expired, not valid after 2026-11-21 01:02:03", 0),
    ("Proxy /tmp/x509up_u1000 has expired", 0),
    ("/tmp/x509up_u1000 proxy file does not exist", 0),
    ("Unauthorized query", 1111),
    ("Unauthorized query ( 1111 : Unauthorized query)", 0),
    ("Can't submit using a limited proxy", 1503),
    ("Job submission not authorized", 1503),
    ("No access to https://host:8443/WorkloadManagement/JobManager", 13),
    ("Access token expired.", 0),
    ("Not found a bearer access token.", 1150),
    ("SSLError(1, '[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired')", 0),
    ("Generic Error with X509 ( 1100 : )", 1100),
]
PERMANENT = [
    ("1 validation error for JobDescriptionModel\nsites\n  Value error, Invalid sites: X", 0),
    ("1 validation error for BaseJobDescriptionModel\ncpuTime\n  Value error, cpuTime out", 0),
    ("Var Arguments : value seems a list but is not separated in commas", 0),
    ("Number of parametric jobs exceeds the limit of 100", 1501),
    ("Inconsistent parametric job description", 1501),
    ("Input Sandbox is not valid", 1501),
    ("Whatever the server dislikes", 1501),
    ("Error in JDL syntax", 1503),
    ("MySQL Error ( 1131 : Execution failed.: ((1406, \"Data too long for 'JobName'\") ))", 1131),
    ("OS compatibility info not found", 0),
    ("Nonsense is not a valid value for JobType", 0),  # the rest of these is of DIRAC 8.0
    ("Priority must be a number", 0),
    ("Number of Input Data Files (501) greater than current limit: 500", 0),
    ("version 7.3.38 of the client is too old", 0),
    ('/DIRAC/Setup is not defined. Have you ran "dirac-configure"?', 0),
    ("Option /DIRAC/Setups/Test/WorkloadManagement is not defined", 0),
    ("Sandbox is too big. Please upload it to a grid storage element", 0),
    ("The supplied LFN already exists in the File Catalog. /vo/user/f", 0),
    ("No such file or directory", 0),
    ("Supplied storage doesn't exist. SE-9", 0),
    ("Write access not permitted for this credential. /other/vo", 0),
    ("StorageElement.isValid: StorageElement is not allowed for VO", 13),
    ("submitJob is not implemented", 38),
    ("Unknown method getJobsStatesX", 0),
    ("SSLError: certificate verify failed: self-signed certificate in certificate chain", 0),
]


@pytest.mark.parametrize(("message", "errno"), TRANSIENT)
def test_what_may_pass(message: str, errno: int) -> None:
    assert classify(message, errno) is TransientError


@pytest.mark.parametrize(("message", "errno"), CREDENTIALS)
def test_what_needs_the_user(message: str, errno: int) -> None:
    assert classify(message, errno) is CredentialsError


@pytest.mark.parametrize(("message", "errno"), PERMANENT)
def test_what_trying_again_does_not_help(message: str, errno: int) -> None:
    assert classify(message, errno) is PermanentError


def test_the_text_decides_over_what_it_is_wrapped_in() -> None:
    wrapped = "Can't connect to dips://h: PEM file /tmp/x has expired, not valid after 2026"
    assert classify(wrapped) is CredentialsError
    assert classify("Server error while serving submitJob: (1406, 'Data too long')") is (
        PermanentError
    )


@pytest.mark.parametrize(
    ("exception", "message", "kind"),
    [
        ("ConnectionRefusedError", "[Errno 111] refused", TransientError),
        ("TimeoutError", "", TransientError),
        ("SSLError", "[Errno 104] reset", TransientError),
        ("SystemExit", "1", TransientError),
        ("KeyError", "'Value'", TransientError),
        ("ModuleNotFoundError", "No module named 'DIRAC'", PermanentError),
        ("ImportError", "libssl.so.3", PermanentError),
        ("SErrorException", "{'OK': False, 'Message': 'No proxy found'}", CredentialsError),
        ("DIRACInitError", "Failed to contact: No configuration servers found", PermanentError),
    ],
)
def test_exceptions(exception: str, message: str, kind: type) -> None:
    assert classify(message, 0, exception) is kind


def test_the_number_of_an_exception_is_not_dirac_s() -> None:
    assert classify("x", 1501, "OSError") is TransientError


@pytest.mark.parametrize("message", UNREACHABLE)
def test_a_server_that_cannot_be_reached_is_named_with_the_reason(message: str) -> None:
    error = error_of("states", message)
    assert isinstance(error, UnreachableError)
    assert str(error) == "DIRAC does not answer (127.0.0.1:25039: connection refused)"


def test_credentials_errors_say_what_to_run() -> None:
    error = error_of("submit", "No proxy found", 0, "")
    assert isinstance(error, CredentialsError)
    assert str(error).startswith("DIRAC, asked to submit: No proxy found; ")
    assert "dirac-proxy-init -g GROUP" in str(error)
    assert "dirac-login" in str(error)


def test_the_full_stop_of_dirac_is_not_followed_by_a_hint() -> None:
    assert "found; run" in str(error_of("submit", "No proxy found.", group="user"))


def test_errors_name_the_call_and_the_exception_and_hint() -> None:
    error = error_of("upload_sandbox", "No module named 'DIRAC'", 0, "ModuleNotFoundError")
    assert str(error) == (
        "DIRAC, asked to upload sandbox: ModuleNotFoundError: No module named 'DIRAC'; see "
        "--grid-dirac-python"
    )


def test_messages_are_one_line() -> None:
    reply = {"OK": False, "Errno": 0, "Message": "Reason(s):\n\tNo proxy", "CallStack": ["  File"]}
    assert readable(str(reply)) == "Reason(s): No proxy"
    assert readable("{'OK': False, 'Message': 'x', 'CallStack': [<object>]}") == (
        "{'OK': False, 'Message': 'x',"
    )
    assert readable("word " * 1000) == ("word " * 120).rstrip() + "  …"


def test_a_full_disk_on_this_side_is_no_outage() -> None:
    error = error_of("fetch_sandbox", "[Errno 28] No space left on device", 28, "OSError")
    assert type(error) is PermanentError
    assert str(error).startswith("the disk of the submit host is full")
    # Of a server's disk: somebody may make room.
    assert classify("[Errno 28] No space left on device", 28) is TransientError
