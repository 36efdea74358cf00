"""Upload: inputs that change or vanish, and stores that fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.model.errors import FileChangedError, GridError
from snakemake_executor_plugin_grid.staging.needs import NeedsFinder
from tests.unit.specs import spec

from .submission import LARGE, Submission, host, prepared

__all__ = ["host"]


def change_only_contents(path: Path, text: str) -> None:
    """Change a file so that only its contents differ."""
    before = path.stat()
    assert before.st_size == len(text)
    with path.open("r+") as stream:
        stream.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_unchanged_files_are_not_read_again_by_the_next_run(host: Submission) -> None:
    large = host.put("large", "l" * LARGE)
    small = host.put("small", "s")
    before = prepared(host.upload(), spec("j", ["large", "small"]))
    change_only_contents(large, "x" * LARGE)
    change_only_contents(small, "x")
    upload = host.upload()
    assert prepared(upload, spec("j", ["large", "small"])) == before
    assert (upload.traffic.stored_bytes, upload.traffic.reused) == (0, 2)


def test_a_blob_missing_in_the_store_is_stored_again(host: Submission) -> None:
    host.put("large", "l" * LARGE)
    host.put("small", "s")
    before = prepared(host.upload(), spec("j", ["large", "small"]))
    for name in host.stored():
        (host.store.folder / name).unlink()
    upload = host.upload()
    assert prepared(upload, spec("j", ["large", "small"])) == before
    assert upload.traffic.reused == 0
    assert set(host.stage_in_files(before["j"])) == {"work/large", "work/small"}


def set_time(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace_by_other(path: Path) -> None:
    """Save as an editor does: a new file with the old name, and here the old size and time."""
    before = path.stat()
    other = path.with_name("other")
    other.write_text("x" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("size", [3, LARGE])
@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("other"), set_time, replace_by_other]
)
def test_changed_file_is_read_again(
    host: Submission, size: int, change: Callable[[Path], object]
) -> None:
    path = host.put("in", "a" * size)
    prepared(host.upload(), spec("j", ["in"]))
    change(path)
    blobs = prepared(host.upload(), spec("j", ["in"]))["j"]
    assert host.stage_in_files(blobs) == {"work/in": path.read_text()}


def test_a_later_job_gets_the_new_version_of_an_input(host: Submission) -> None:
    path = host.put("in", "old")
    upload = host.upload()
    old = prepared(upload, spec("j1", ["in"], ["in"]))["j1"]
    path.write_text("newer")
    new = prepared(upload, spec("j2", ["in"], ["in"]))["j2"]
    assert host.stage_in_files(new) == {"work/in": "newer"}
    assert host.stage_in_files(old) == {"work/in": "old"}


def test_a_copy_that_travels_stays_where_the_original_is_an_input(host: Submission) -> None:
    host.put("config", "original")
    entry = host.sources("config")["work/config"]
    copy = host.put("copy", "copy 1")
    stored = []
    for number in (1, 2):  # of two runs: a removed file may leave its inode to the next
        copy = copy.rename(host.home / f"copy {number}")
        copy.write_text(f"copy {number}")
        upload = host.upload()
        upload.send_sources({entry.name: replace(entry, path=str(copy), size=6)})
        job = spec("j", ["config"], marked_files=("work/config",))
        stored.append(host.stage_in_files(prepared(upload, job)["j"]))
    assert stored == [{"work/config": "copy 1"}, {"work/config": "copy 2"}]


@pytest.mark.parametrize(("old", "new"), [("old", "newer"), ("o" * LARGE, "n" * (LARGE + 1))])
def test_newer_version_of_a_source_wins(host: Submission, old: str, new: str) -> None:
    host.put("Snakefile", "rule a")
    path = host.put("state", old)
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "state"))
    path.write_text(new)
    found = prepared(upload, spec("j1"), spec("j2", ["state"]))
    assert host.stage_in_files(found["j1"])["work/state"] == old
    assert host.stage_in_files(found["j2"]) == {"work/Snakefile": "rule a", "work/state": new}


def test_a_missing_input_fails_only_its_job(host: Submission) -> None:
    host.put("a", "a")
    found = host.upload().prepare(
        [spec("good", ["a"], ["a"]), spec("bad", ["a", "missing"], ["a"]), spec("none")]
    )
    assert str(found["bad"]) == "input missing does not exist"
    assert not isinstance(found["good"], GridError)
    assert host.stage_in_files(found["good"]) == {"work/a": "a"}
    assert found["none"] == ()


@pytest.mark.parametrize("size", [3, LARGE])
def test_an_input_that_vanishes_during_its_upload_fails_only_its_jobs(
    host: Submission, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    host.put("a", "a")
    gone = host.put("gone", "g" * size)
    upload = host.upload()
    scan_all = NeedsFinder._scan

    def scan_then_remove(self: NeedsFinder, path: str) -> object:
        found = scan_all(self, path)
        if path == "gone":
            gone.unlink()
        return found

    monkeypatch.setattr(NeedsFinder, "_scan", scan_then_remove)
    found = upload.prepare([spec("good", ["a"]), spec("bad", ["gone"])])
    assert "gone" in str(found["bad"])
    assert isinstance(found["bad"], GridError)
    assert not isinstance(found["good"], GridError)
    assert host.stage_in_files(found["good"]) == {"work/a": "a"}
    assert not [name for name in host.stored() if name.endswith(".part")]


@pytest.mark.parametrize("vanishes", ["before", "while it is packed"])
def test_a_source_that_vanishes_has_its_own_error(
    host: Submission, monkeypatch: pytest.MonkeyPatch, vanishes: str
) -> None:
    host.put("Snakefile", "rule a")
    journal = host.put("snkmt.db-journal", "x")
    found, upload = host.sources("Snakefile", journal.name), host.upload()
    if vanishes == "before":
        journal.unlink()
    else:
        has_bundle = Catalog.bundle

        def bundle(catalog: Catalog, fingerprint: str) -> object:
            journal.unlink()
            return has_bundle(catalog, fingerprint)

        monkeypatch.setattr(Catalog, "bundle", bundle)
    with pytest.raises(FileChangedError, match="journal vanished"):
        upload.send_sources(found)


def test_a_full_disk_has_its_own_error(host: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put("large", "l" * LARGE)

    def full(_path: Path) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host.store, "put_file", full)
    found = host.upload().prepare([spec("j", ["large"])])
    assert str(found["j"]) == f"no space left where inputs are stored, {host.store.folder}"


def test_large_input_that_changes_while_it_is_stored_is_an_error(
    host: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = host.put("large", "l" * LARGE)
    put_file = host.store.put_file

    def put_and_change(source: Path) -> tuple[int, str]:
        result = put_file(source)
        path.write_text("changed" * LARGE)
        return result

    monkeypatch.setattr(host.store, "put_file", put_and_change)
    found = host.upload().prepare([spec("j", ["large"])])
    assert str(found["j"]) == f"input {path} changed while it was being stored"


def test_a_missing_store_is_an_error(host: Submission) -> None:
    host.put("small", "s")
    host.put("large", "l" * LARGE)
    host.store.folder.rmdir()
    found = host.upload().prepare([spec("j1", ["small"]), spec("j2", ["large"])])
    assert all(isinstance(result, GridError) for result in found.values())
    with pytest.raises(GridError):
        host.upload().send_sources(host.sources("small"))
