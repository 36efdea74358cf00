from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.panda.replies import (
    UnknownTaskError,
    classify,
    error_of,
    payload_files,
    readable,
    submitted_task,
)
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)

# Codes as panda-client 2.2.0 has them, texts as panda-server 1.0.4, httpx and proxies give them.
TOO_LONG = (
    'Database exception.: {}\nDetails: {"msg": "(psycopg2.errors.StringDataRightTruncation) value '
    "too long for type character varying(20)\\n\\n[SQL: INSERT INTO requests (scope, "
    "username) VALUES (%(scope)s, %(name)s)]\\n[parameters: {'scope': 'pandatest'}]\"}"
)
TRANSIENT = [
    (1, "[Errno 111] Connection refused"),
    (1, "[Errno -3] Temporary failure in name resolution"),
    (1, "timed out"),
    (1, "The read operation timed out"),
    (1, "Server disconnected without sending a response."),
    (1, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)"),
    (1, "nothing was sent"),
    (1, "unexpected answer: '<html>'"),
    (500, "ERROR : received invalid JSON : Expecting value: line 1 column 1 (char 0)"),
    (500, "'NoneType' object is not subscriptable"),
    (500, "permission denied"),
    (502, "<html><body>Bad Gateway</body></html>"),
    (503, "Service Unavailable"),
    (504, ""),
    (429, "Too Many Requests"),
    (408, "Request Timeout"),
    (404, "<html><title>404 Not Found</title></html>"),
    (404, "not found"),
    (
        403,
        "ERROR : Token authentication failed. Token decode failure. HTTPSConnectionPool("
        "host='iam.example', port=443): Max retries exceeded with url: /jwks",
    ),
    (0, "Database exception while gathering files"),
    (0, "database error in the PanDA server"),
    (0, "Task not found or error retrieving the details"),
    (0, "failed to register command"),
    (0, "ERROR: cannot write file"),
    (0, "ERROR : failed to register sandbox to DB with 1 timeout"),
    (0, "time out"),
    (0, "failed to execute command with timed out"),
    (0, "no reason given (None)"),
    (0, "Something that nobody thought of"),
    (0, ""),
    (-1, "panda-client has exited with 255"),
]
CREDENTIALS = [
    (403, "ERROR : Token authentication failed. Invalid token. Signature has expired"),
    (403, "ERROR : Token authentication failed. Invalid token. JWK not found for kid=k1"),
    (403, "ERROR : Token authentication failed. Token decode failure. 'kid' Traceback (most"),
    (403, "ERROR : Token authentication failed. Issuer is undefined in the token"),
    (403, "ERROR : token verification failed"),
    (403, "forbidden"),
    (403, "<html>403 Forbidden</html>"),
    (401, "Unauthorized"),
    (0, "SSL secure connection is required"),
    (0, "ERROR: rejected due to the usage of limited proxy"),
    (0, "ERROR : no HTTPS"),
    (1, "Could not set up credentials for SSL environment: [Errno 2] No such file or directory"),
    (1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired (_ssl.c:2580)"),
    (400, "No required SSL certificate was sent"),
]
PERMANENT = [
    (403, "ERROR : Token authentication failed. Unknown vo : atlsa"),
    (403, "ERROR : Token authentication failed. Not a member of the atlas/production group"),
    (403, "ERROR : Ada Lovelace is banned"),
    (403, "ERROR : method get_job_descriptions is forbidden"),
    (0, "production or pilot role required"),
    (0, "not the task owner or no production role"),
    (0, "Command rejected: the kill command is not accepted if the task is in done status "),
    (0, "Type error: 'job_ids' must be of type list, got str."),
    (0, "Argument error: missing a required argument: 'task_id'"),
    (0, "jediTaskID must be an integer"),
    (0, "expecting POST, received GET"),
    (0, "ERROR: upload failure. Exceeded size limit 11 MB > 10 MB. Please submit"),
    (0, "request 7 is not owned by ada"),
    (400, "Bad Request"),
    (413, "<html>413 Request Entity Too Large</html>"),
    (1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"),
    (1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
    (1, "[SSL] record layer failure (_ssl.c:1018)"),
    (1, "Request URL has an unsupported protocol 'ftp://'."),
    (1, "Request URL is missing an 'http://' or 'https://' protocol."),
    (-1, "panda-client 1.6.0 cannot be used; install one of 2.0.7 or later, below 3"),
    (-1, "PANDA_AUTH=oidc requires PANDA_AUTH_VO or OIDC_AUTH_VO to be set"),
    (0, "failed to execute command with No section: 'rest'"),
    (0, TOO_LONG),
    (0, "Database exception: ORA-12899: value too large for column USERNAME"),
]
UNKNOWN_TASK = [
    (0, "Task not found"),
    (0, "No data found for the task"),
    (0, "jediTaskID=123 not found"),
]


@pytest.mark.parametrize(("code", "message"), TRANSIENT)
def test_what_may_pass(code: int, message: str) -> None:
    assert classify(code, message) is TransientError


@pytest.mark.parametrize(("code", "message"), CREDENTIALS)
def test_what_needs_the_user(code: int, message: str) -> None:
    assert classify(code, message) is CredentialsError


@pytest.mark.parametrize(("code", "message"), PERMANENT)
def test_what_trying_again_does_not_help(code: int, message: str) -> None:
    assert classify(code, message) is PermanentError


@pytest.mark.parametrize(("code", "message"), UNKNOWN_TASK)
def test_tasks_that_are_not_there_or_not_there_yet(code: int, message: str) -> None:
    assert classify(code, message) is UnknownTaskError
    assert issubclass(UnknownTaskError, PermanentError)


@pytest.mark.parametrize(
    ("exception", "message", "kind"),
    [
        ("LoginError", "there is no valid token", CredentialsError),
        ("ModuleNotFoundError", "No module named 'pandaclient'", PermanentError),
        ("ImportError", "libssl.so.3", PermanentError),
        ("gaierror", "[Errno -2] Name or service not known", TransientError),
        ("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)", TransientError),
        ("TypeError", "'NoneType' object is not subscriptable", TransientError),
        ("RequestError", "Cannot find a valid x509 proxy.", CredentialsError),
        ("OSError", "[Errno 28] No space left on device", PermanentError),
    ],
)
def test_exceptions(exception: str, message: str, kind: type) -> None:
    assert classify(-1, message, exception) is kind


def test_errors_name_the_call_and_say_what_to_do() -> None:
    expired = "ERROR : Token authentication failed. Invalid token. Signature has expired"
    assert str(error_of("tasks_named", 403, expired)) == (
        "PanDA, asked for tasks named: HTTP 403: Token authentication failed. Invalid token. "
        "Signature has expired; run 'snakemake-grid auth', or get a new proxy where PanDA is used "
        "with one"
    )
    missing = error_of("start", -1, "No module named 'pandaclient'", "ModuleNotFoundError")
    assert str(missing) == (
        "PanDA, asked for start: ModuleNotFoundError: No module named 'pandaclient'; install "
        "panda-client, or see --grid-panda-python"
    )
    refused = error_of("hello", 1, "[Errno 111] Connection refused")
    assert str(refused) == "PanDA, asked for hello: [Errno 111] Connection refused"
    assert "PANDA_AUTH_VO" in str(error_of("hello", 403, "Unknown vo : x"))
    untrusted = error_of("hello", 1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert "SSL_CERT_FILE" in str(untrusted)


def test_a_user_name_that_idds_has_no_room_for_is_told_without_sql() -> None:
    said = str(error_of("idds_submit", 0, TOO_LONG))
    assert "value too long" in said
    assert "user name" in said
    assert "--grid-panda-route jedi" in said
    assert "SQL" not in said
    assert "pandatest" not in said


def test_a_server_without_idds_is_told_of() -> None:
    said = str(error_of("idds_submit", 0, "failed to execute command with No section: 'rest'"))
    assert "no iDDS" in said
    assert "--grid-panda-route jedi" in said


def test_a_full_disk_on_this_side_is_no_outage() -> None:
    error = error_of("upload", -1, "[Errno 28] No space left on device", "OSError")
    assert type(error) is PermanentError
    assert str(error).startswith("the disk of the submit host is full: ")
    # Of a server's disk: somebody may make room.
    assert classify(500, "[Errno 28] No space left on device") is TransientError


def test_messages_are_one_line_without_markup_and_code() -> None:
    monitor_url = "<html><head><title>502</title></head>\n<body><h1>Bad\nGateway</h1></body></html>"
    assert readable(monitor_url) == "Bad Gateway"
    assert readable("Token decode failure. 'x' Traceback (most recent call last):\n  File") == (
        "Token decode failure. 'x'"
    )
    assert readable("") == "no reason given"
    assert readable("a < b") == "a < b"
    assert len(readable("word " * 1000)) < 610


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, (0, "succeeded. new jediTaskID=1234")), (1234, False)),
        ([0, [0, "succeeded. new jediTaskID=1234"]], (1234, False)),
        # Older servers
        ((0, (0, "succeeded. new jediTaskID=1234", 1234)), (1234, False)),
        # One of the same name
        (
            (
                0,
                (
                    1,
                    "jediTaskID=12 is already queued for outDS=user.ada.x. "
                    "You cannot submit duplicated tasks. ",
                ),
            ),
            (12, True),
        ),
        (
            (
                0,
                (
                    2,
                    "jediTaskID=12 is in the running state for outDS=user.ada.x. You can re-submit",
                ),
            ),
            (12, True),
        ),
        (
            (
                0,
                (
                    0,
                    "reactivation accepted. jediTaskID=12 (currently in done state) will be "
                    "re-executed with old and/or new input",
                ),
            ),
            (12, True),
        ),
        (
            (
                0,
                (3, "reactivation accepted. jediTaskID=12 (currently in failed state) will be", 12),
            ),
            (12, True),
        ),
    ],
)
def test_tasks_that_were_submitted(answer: Any, expected: tuple[int, bool]) -> None:
    assert submitted_task(answer) == expected


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((0, (10, "Too many active tasks for ada 101>100")), TransientError, "101>100; some have"),
        ((0, (4, "failed to register task")), TransientError, "failed to register task"),
        ((0, (0, "succeeded")), TransientError, "succeeded"),
        ((0, (11, "failed to find parent with user=ada")), PermanentError, "(code 11)"),
        ((0, (7, "jediTaskID=12 is odd")), PermanentError, "jediTaskID=12 is odd (code 7)"),
        ((0, (None, "SSL secure connection is required")), CredentialsError, "snakemake-grid auth"),
        ((0, (None, "Argument error: missing")), PermanentError, "Argument error"),
        ((255, None), TransientError, "submit: None"),
        ((255, "Impossible to parse server response"), TransientError, "Impossible to parse"),
        (None, TransientError, "unexpected answer: None"),
        ((0, ()), TransientError, "unexpected answer"),
    ],
)
def test_tasks_that_were_not(answer: Any, kind: type, said: str) -> None:
    with pytest.raises(kind) as caught:
        submitted_task(answer)
    assert type(caught.value) is kind
    assert said in str(caught.value)


def file(lfn: str, status: str) -> dict[str, Any]:
    return {"lfn": lfn, "scope": None, "id": 5, "status": status}


def test_payloads_are_named_by_what_follows_the_serial_number() -> None:
    answer = [
        {"dataset": {"name": "seq_number", "id": 3}, "files": [file("1", "ready")]},
        {
            "dataset": {"name": "pseudo_dataset", "id": 4},
            "files": [
                file("000000:align-00c0ffee-1", "finished"),
                file("000001:align-00c0ffee-2.1", "ready"),
                file("1000000:odd:name", "running"),
            ],
        },
        {"dataset": {"name": "mc23:data", "id": 6}, "files": [file("EVNT._000001.root", "ready")]},
    ]
    assert payload_files(answer) == {
        "align-00c0ffee-1": "finished",
        "align-00c0ffee-2.1": "ready",
        "odd:name": "running",
    }


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", [None], [{"dataset": {}}], [{"files": None}], [{"files": [None, {"lfn": 1}]}]],
)
def test_answers_of_other_shapes_name_no_payload(answer: Any) -> None:
    assert payload_files(answer) == {}


def description(number: int, name: str, status: str) -> dict[str, Any]:
    files = [
        {"type": "log", "lfn": f"user.ada._{number:06d}.log.tgz"},
        {"type": "pseudo_input", "lfn": name},
    ]
    return {"PandaID": number, "jobStatus": status, "Files": files}
