"""``snakemake-grid check``: each fault that it can find."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.diagnostics import host, trial
from snakemake_executor_plugin_grid.journal.database import FOLDER
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from tests.unit.backends.panda.oidc_server import VO, make_token

from .check_command import FAILED, OK, UNTRIED, WARNING, found, record_run, run


def bare_python(folder: Path) -> Path:
    """Return a Python that has nothing installed."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/env -u PYTHONPATH python3 -IS "$@"\n')
    python.chmod(0o755)
    return python


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_all_checks_pass_and_leave_no_files(workdir: Path) -> None:
    result = run(workdir)
    assert result.exit_code == 0, result.output
    checks = found(result)
    assert list(checks) == [
        *("options", "versions", "directory", "disk", "lock", "Snakemake's lock"),
        *("server", "store"),
    ]
    assert {mark for mark, _ in checks.values()} == {OK}
    assert list(workdir.iterdir()) == []
    assert list((workdir.parent / "sites").iterdir()) == []


def test_one_json_document(workdir: Path, tmp_path: Path) -> None:
    result = run(workdir, "--json", "--store", f"file://{tmp_path}/store")
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert document["options"]["store"] == f"file://{tmp_path}/store"
    assert document["sources"] == {"the command line": ["local-dir", "store"]}
    assert {one["result"] for one in document["checks"]} == {"ok"}
    assert not (tmp_path / "store").exists()
    failed = run(workdir, "--json", "--store", "gopher://host")
    assert failed.exit_code == 1
    document = json.loads(failed.stdout)
    assert document["ok"] is False
    assert document["checks"][0]["result"] == "failed"
    assert "no store of this kind" in document["checks"][0]["text"]


def test_directory_that_does_not_exist(workdir: Path) -> None:
    checks = found(run(workdir / "nowhere"))
    assert checks["directory"][0] == FAILED
    assert "no such directory" in checks["directory"][1]
    assert checks["disk"][0] == checks["lock"][0] == UNTRIED


def test_directory_that_cannot_be_written(workdir: Path) -> None:
    (workdir / ".snakemake").write_text("a file instead of a folder")
    result = run(workdir)
    assert result.exit_code == 1
    mark, text = found(result)["directory"]
    assert mark == FAILED
    assert f"{workdir}/.snakemake" in text
    assert "Not a directory" in text


def test_disk_with_little_space_and_full_disk(workdir: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(workdir)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a small file system")
    try:
        mark, text = found(run(workdir))["disk"]
        assert mark == WARNING
        assert "free more" in text
        assert run(workdir).exit_code == 0
        with contextlib.suppress(OSError), (workdir / "full").open("wb") as stream:
            stream.write(bytes(2 << 20))
        mark, text = found(run(workdir))["directory"]
        assert mark == FAILED
        assert "No space left on device" in text
    finally:
        subprocess.run(["umount", str(workdir)], check=True)


def test_active_run_is_not_a_failure(workdir: Path) -> None:
    record_run(workdir)
    locks = workdir / ".snakemake" / "locks"
    locks.mkdir()
    (locks / "0.input.lock").touch()
    with lock_folder(workdir / FOLDER):
        result = run(workdir)
        assert result.exit_code == 0, result.output
        checks = found(result)
        assert f"(process {os.getpid()} on {socket.gethostname()})" in checks["lock"][1]
        assert checks["Snakemake's lock"] == (OK, "held by the active run")


def test_stale_lock_of_snakemake(workdir: Path) -> None:
    locks = workdir / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").touch()
    result = run(workdir)
    assert result.exit_code == 1
    mark, text = found(result)["Snakemake's lock"]
    assert mark == FAILED
    assert "snakemake --unlock" in text


def test_unsupported_versions(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["snakemake>=99", "no-such-package-at-all", "boto3>99; extra == 's3'"]
    monkeypatch.setattr(host, "requires", lambda _: needed)
    mark, text = found(run(workdir))["versions"]
    assert mark == FAILED
    assert "pip install 'snakemake>=99'" in text
    assert "no-such-package-at-all is missing" in text
    assert "boto3" not in text


@pytest.mark.parametrize("backend", ["dirac", "panda"])
def test_python_without_the_client(workdir: Path, tmp_path: Path, backend: str) -> None:
    python = bare_python(tmp_path)
    options = ("--backend", backend, f"--grid-{backend}-python", str(python))
    result = run(workdir, *options, "--store", f"file://{tmp_path}/store", "--submit")
    assert result.exit_code == 1
    checks = found(result)
    mark, text = checks["client"]
    assert mark == FAILED
    assert f"{python}: has no" in text
    assert "No module named" in text
    assert f"--grid-{backend}-python" in text
    for name in ("configuration", "credentials", "server", "job"):
        assert checks[name][0] == UNTRIED, name
    assert checks["store"][0] == OK, "the store needs no server"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-60, "has expired"), (600, "expires in"), (None, "there is no PanDA token")],
)
def test_invalid_tokens(workdir: Path, tmp_path: Path, seconds: float | None, words: str) -> None:
    pytest.importorskip("pandaclient")
    variables = {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO}
    if seconds is not None:
        variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + seconds)
    options = ("--backend", "panda", "--store", f"file://{tmp_path}/store")
    checks = found(run(workdir, *options, **variables))
    assert checks["client"][0] == checks["configuration"][0] == OK
    assert "PANDA_URL_SSL is not set" in checks["configuration"][1]
    mark, text = checks["credentials"]
    assert mark == FAILED
    assert words in text
    assert "snakemake-grid auth" in text
    assert checks["server"] == (UNTRIED, "needs this first: credentials")


@pytest.mark.usefixtures("no_pauses")
def test_unreachable_server(workdir: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandaclient")
    url = f"http://127.0.0.1:{closed_port()}/server/panda"
    variables = dict.fromkeys(("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"), url)
    variables |= {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO}
    variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + 7200)
    options = ("--backend", "panda", "--store", f"file://{tmp_path}/store")
    checks = found(run(workdir, *options, **variables))
    assert checks["configuration"] == (OK, f"server {url}")
    assert "valid until" in checks["credentials"][1]
    mark, text = checks["server"]
    assert mark == FAILED
    assert url in text


@pytest.mark.usefixtures("no_pauses")
def test_unusable_stores(workdir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file instead of a folder")
    mark, text = found(run(workdir, "--store", f"file://{tmp_path}/file/store"))["store"]
    assert mark == FAILED
    assert "cannot be written" in text
    assert "--grid-store" in text
    url = f"http://127.0.0.1:{closed_port()}/me"
    mark, text = found(run(workdir, "--store", url))["store"]
    assert mark == FAILED
    assert f"--grid-store {url}: it cannot be used" in text.replace("dav://", "http://")


def test_store_that_returns_other_contents(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake_executor_plugin_grid.stores.directory import DirectoryStore

    def fetch_output(self: DirectoryStore, job: str, digest: str, most: int | None = None) -> Path:
        (tmp_path / "other").write_text("something else")
        return tmp_path / "other"

    monkeypatch.setattr(DirectoryStore, "fetch_output", fetch_output)
    mark, text = found(run(workdir, "--store", f"file://{tmp_path}/store"))["store"]
    assert mark == FAILED
    assert "what is read there is not what was written" in text


def test_server_check_says_that_jobs_see_the_directory(workdir: Path) -> None:
    _, text = found(run(workdir, "--grid-local-isolation", "off"))["server"]
    assert f"its jobs see {workdir}, as --grid-local-isolation off says" in text


def test_unexpected_error_is_shown_without_a_traceback(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(trial, "check_room", broken)
    mark, text = found(run(workdir))["disk"]
    assert mark == FAILED
    assert "unexpected ZeroDivisionError: by zero; please report this" in text
