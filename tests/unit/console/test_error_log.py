"""The log of failed calls and bugs."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import error_log
from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


def test_the_log_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    with error_log.opened(tmp_path):
        path = error_log.write("states", TransientError("connection refused"))
    assert path == tmp_path / "grid.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_log_does_not_grow_without_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_log, "_MOST_BYTES", 2000)
    with error_log.opened(tmp_path):
        for number in range(200):
            error_log.write("states", TransientError(f"number {number}"))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["grid.log", "grid.log.1"]
    for name in files:
        assert (tmp_path / name).stat().st_size <= 2000
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "number 199" in (tmp_path / "grid.log").read_text()


def test_an_error_is_written_once_and_a_bug_with_its_traceback(tmp_path: Path) -> None:
    try:
        {}["state"]  # type: ignore[index]
    except KeyError as error:
        bug = error
    with error_log.opened(tmp_path):
        for _ in range(3):
            error_log.write("states", bug)
            error_log.write("results", PermanentError("no such job"))
    text = (tmp_path / "grid.log").read_text()
    assert text.count("Traceback") == 1
    assert "test_error_log.py" in text
    assert text.count("KeyError: 'state'") == 2  # in its line, and in its traceback
    assert text.count("PermanentError: no such job") == 1  # repeats would fill the log


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://s3.example.org/b/x?X-Amz-Signature=abc123 failed", "abc123"),
        ("cannot reach davs://me:hunter2@dav.example.org/x", "hunter2"),
        (f"token {JWT} expired", JWT[:30]),
        ("Authorization: Bearer opaque-token-1", "opaque-token-1"),
        ("Authorization: Basic bWU6aHVudGVyMg==", "bWU6"),
        ("Max retries with url: /b/k?X-Amz-Signature=abc123", "abc123"),
        ("no inbox signed:eyJmb3JtIjoxfQ", "eyJmb3"),
        ("answer {'access_token': 'opaque-token-1'}", "opaque-token-1"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ],
)
def test_secrets_are_left_out(tmp_path: Path, text: str, secret: str) -> None:
    with error_log.opened(tmp_path):
        error_log.write("a call", ValueError(text))
    written = (tmp_path / "grid.log").read_text()
    assert secret not in written
    assert "ValueError" in written


def test_a_log_that_cannot_be_written_does_no_harm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with error_log.opened(tmp_path / "nowhere"):
        error_log.write("states", TransientError("down"))
    assert capfd.readouterr().err == ""


def test_a_log_on_a_full_disk_does_no_harm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid.log").symlink_to("/dev/full")
    with error_log.opened(tmp_path):
        error_log.write("states", TransientError("down"))
    assert capfd.readouterr().err == ""


def test_names_that_are_no_text_can_be_logged(tmp_path: Path) -> None:
    # Past the logger: pytest-xdist cannot report such a text.
    handler = error_log._Handler(tmp_path / "grid.log", delay=True)
    handler.emit(logging.makeLogRecord({"msg": "no such file: caf\udce9.txt"}))
    handler.close()
    assert "caf\\udce9.txt" in (tmp_path / "grid.log").read_text()


def test_without_a_log_nothing_is_written() -> None:
    assert error_log.write("states", TransientError("down")) is None
