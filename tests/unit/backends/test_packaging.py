"""What jobs leave on this machine is taken only where it is a regular file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.dirac.local_results import collect
from snakemake_executor_plugin_grid.backends.packaging import copy_results, read_logs
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError

DIGEST = "d" * 64
Copy = Callable[[Path, Path], None]


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    sandbox = tmp_path / "sandbox"
    (sandbox / "out").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "secret").write_text("of the user")
    return sandbox


def pictured(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


@pytest.mark.parametrize("copy", [copy_results, collect])
def test_results_are_copied(sandbox: Path, tmp_path: Path, copy: Copy) -> None:
    (sandbox / "report.json").write_text("{}")
    (sandbox / "payload.log").write_text("log")
    (sandbox / "out" / DIGEST).write_text("blob")
    copy(sandbox, tmp_path / "target")
    found = {"report.json": "{}", "payload.log": "log", f"out/{DIGEST}": "blob"}
    assert pictured(tmp_path / "target") == dict(sorted(found.items()))


@pytest.mark.parametrize("copy", [copy_results, collect])
def test_blobs_are_files_named_by_digests(sandbox: Path, tmp_path: Path, copy: Copy) -> None:
    (sandbox / "out" / "secret").symlink_to(tmp_path / "secret")
    (sandbox / "out" / "other").write_text("x")
    (sandbox / "out" / "folder").mkdir()
    copy(sandbox, tmp_path / "target")
    assert pictured(tmp_path / "target") == {}


@pytest.mark.parametrize("copy", [copy_results, collect])
def test_folder_of_blobs_is_not_followed(sandbox: Path, tmp_path: Path, copy: Copy) -> None:
    (sandbox / "out").rmdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / DIGEST).write_text("of the user")
    (sandbox / "out").symlink_to(tmp_path / "home")
    copy(sandbox, tmp_path / "target")
    assert pictured(tmp_path / "target") == {}


@pytest.mark.parametrize("name", ["report.json", "payload.log", f"out/{DIGEST}"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_is_not_a_regular_file_is_refused(
    sandbox: Path, tmp_path: Path, name: str, kind: str
) -> None:
    if kind == "fifo":
        os.mkfifo(sandbox / name)
    else:
        (sandbox / name).symlink_to(tmp_path / "secret")
    with pytest.raises(UntrustedError, match="regular file"):
        copy_results(sandbox, tmp_path / "target")
    collect(sandbox, tmp_path / "target")
    assert pictured(tmp_path / "target") == {}


def test_blob_of_local_mode_is_no_other_name_of_a_file(sandbox: Path, tmp_path: Path) -> None:
    (sandbox / f"{DIGEST}.blob").symlink_to(tmp_path / "secret")
    collect(sandbox, tmp_path / "target")
    assert pictured(tmp_path / "target") == {}
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_middle_of_a_huge_log_is_not_read(sandbox: Path) -> None:
    path = sandbox / "payload.log"
    path.write_text("begin\n")
    os.truncate(path, 64 << 20)  # a hole
    with path.open("a") as stream:
        stream.write("\nend")
    text = read_logs(sandbox)
    assert (text[:6], text[-4:]) == ("begin\n", "\nend")
    assert "\n[...]\n" in text
    assert len(text) < 16 << 20


def test_logs_that_are_not_regular_files_do_not_block(sandbox: Path, tmp_path: Path) -> None:
    os.mkfifo(sandbox / "payload.log")
    (sandbox / "worker.log").write_text("of the worker")
    assert read_logs(sandbox) == "of the worker"
    (sandbox / "payload.log").unlink()
    (sandbox / "payload.log").symlink_to(tmp_path / "secret")
    assert read_logs(sandbox) == "of the worker"
