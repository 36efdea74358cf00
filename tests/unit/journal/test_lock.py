from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal import lock
from snakemake_executor_plugin_grid.journal.database import FOLDER
from snakemake_executor_plugin_grid.journal.lock import HOLDER_FILE, is_locked, lock_folder
from snakemake_executor_plugin_grid.model.errors import GridError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / FOLDER
    made.mkdir(parents=True)
    return made


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOLCK) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def held_elsewhere(folder: Path, holder: str) -> None:
    (folder / HOLDER_FILE).write_text(holder)


def test_a_second_one_is_refused_until_the_first_is_closed(folder: Path) -> None:
    first = lock_folder(folder)
    assert first.warning == ""
    assert is_locked(folder) is True
    with pytest.raises(GridError, match="another run"):
        lock_folder(folder)
    first.close()
    assert is_locked(folder) is False
    lock_folder(folder).close()


def test_a_run_waits_for_a_command_that_only_tests_the_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_folder(folder).close()
    testing = (folder / "lock").open()
    fcntl.flock(testing, fcntl.LOCK_SH)  # as `status` does
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            testing.close()

    monkeypatch.setattr(lock.time, "sleep", pause)
    with lock_folder(folder):
        assert len(pauses) == 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_a_file_keeps_others_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_locks(monkeypatch, number)
    with lock_folder(folder) as first:
        assert "no file locks" in first.warning
        assert HOLDER_FILE in first.warning
        assert is_locked(folder) is True
        with pytest.raises(GridError, match=rf"another run .*process {os.getpid()} on .*remove "):
            lock_folder(folder)
    assert is_locked(folder) is False
    assert not (folder / HOLDER_FILE).exists()
    lock_folder(folder).close()


def test_of_a_killed_run_the_file_is_void_on_the_same_host(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_folder(folder).close()
    without_locks(monkeypatch)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held_elsewhere(folder, f"{socket.gethostname()} {ended.pid}\n")
    assert is_locked(folder) is False
    with lock_folder(folder):
        assert is_locked(folder) is True


@pytest.mark.parametrize("holder", ["elsewhere 17\n", "", "\x00"])
def test_a_holder_that_cannot_be_asked_counts_as_alive(
    folder: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    lock_folder(folder).close()
    without_locks(monkeypatch)
    held_elsewhere(folder, holder)
    assert is_locked(folder) is None
    with pytest.raises(GridError, match=rf"another run.*remove {folder / HOLDER_FILE}"):
        lock_folder(folder)
    assert (folder / HOLDER_FILE).read_text() == holder


def test_other_errors_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch, errno.EIO)
    with pytest.raises(GridError, match=os.strerror(errno.EIO)):
        lock_folder(folder)
    assert is_locked(folder) is None
    assert not (folder / HOLDER_FILE).exists()
