"""Remote stores: inputs are uploaded once, found again and verified."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.console.progress import Transfer
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)
from tests.unit.console.test_progress import Heard

from .remote_bench import DOWN, URL, Bench, bench

__all__ = ["bench"]


def blob_name(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def test_check_leaves_only_a_row_in_the_catalog(bench: Bench) -> None:
    assert bench.transport.files() == set()
    assert list(bench.store.workspace.iterdir()) == []
    assert bench.catalog.stores() == [URL]


def test_check_empties_the_workspace(bench: Bench) -> None:
    (bench.store.workspace / "left").touch()
    bench.reopen()
    assert list(bench.store.workspace.iterdir()) == []


@pytest.mark.parametrize("what", ["check", "upload", "download", "remove"])
def test_error_names_a_store_that_cannot_be_used(bench: Bench, what: str) -> None:
    for error in (PermanentError("so it is"), TransientError("so it is")):
        bench.transport.errors[what] = [error]
        with pytest.raises(type(error), match=f"--grid-store {URL}: it cannot be used: so it is"):
            bench.reopen()
    bench.transport.errors[what] = [CredentialsError("renew it")]
    with pytest.raises(CredentialsError, match=r"^renew it$"):
        bench.reopen()


def test_check_fails_if_the_store_returns_other_contents(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.transport, "download", lambda name, path: path.write_bytes(b"page"))
    with pytest.raises(PermanentError, match="is not what was written"):
        bench.reopen()


def test_file_that_changes_during_its_upload_is_not_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = bench.file(b"content")
    upload = bench.transport.upload

    def change(source: Path, name: str, transfer: Transfer) -> None:
        path.write_bytes(b"CONTENT")
        os.utime(path, ns=(1, 1))
        upload(source, name, transfer)

    monkeypatch.setattr(bench.transport, "upload", change)
    with pytest.raises(PermanentError, match="input changed while it was being stored"):
        bench.store.put_file(path)
    assert bench.transport.files() == set()
    assert bench.catalog.locations() == []
    assert not bench.store.has(digest, 7)


def test_progress_of_each_attempt_starts_at_zero(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    monkeypatch.setattr(progress, "_current", heard)
    path, _ = bench.file(b"content")
    bench.transport.errors["upload"] = [DOWN]
    bench.transport.errors["download"] = [DOWN]
    bench.store.put_file(path)
    bench.store.post("private", path)
    bench.store.fetch_output("j-1", bench.deliver("j-1", b"output"))
    assert heard.announced == [("input", 7, True, URL), ("outputs of j-1", 0, False, URL)]
    assert [moving.moved() for moving in heard.moving] == [7, 6]


def test_blob_removed_by_others_is_uploaded_once(bench: Bench) -> None:
    path, digest = bench.file()
    bench.deliver("make-1-1", b"content")
    bench.store.fetch_output("make-1-1", digest)
    bench.store.keep("make-1-1", [digest])
    shutil.rmtree(bench.transport.folder / "delivered")
    for uploads in ([f"upload {blob_name(digest)}"], []):
        bench.store = bench.reopen()
        bench.store.put_file(path)
        assert bench.uploads() == uploads
    assert bench.catalog.locations() == [f"{URL}/{blob_name(digest)}"]


def test_file_is_uploaded_once(bench: Bench) -> None:
    path, digest = bench.file()
    assert not bench.store.has(digest, 7)
    for _ in range(2):
        assert bench.store.put_file(path) == (7, digest)
    assert bench.uploads() == [f"upload {blob_name(digest)}"]
    assert bench.transport.files() == {blob_name(digest)}
    assert bench.store.has(digest, 7)
    assert bench.store.locate(digest) == f"{URL}/{blob_name(digest)}?signature"
    assert bench.catalog.locations() == [f"{URL}/{blob_name(digest)}"]


def test_later_run_finds_stored_files(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    later = bench.reopen()
    assert later.has(digest, 7)
    later.put_file(path)
    assert bench.uploads() == []


def test_blob_of_another_store_is_uploaded(bench: Bench) -> None:
    path, digest = bench.file()
    bench.catalog.note_locations([(digest, f"lfn:/vo/blobs/{digest}"), (digest, f"{URL}2/x")])
    assert not bench.store.has(digest, 7)
    bench.store.put_file(path)
    assert bench.uploads() == [f"upload {blob_name(digest)}"]


@pytest.mark.parametrize("left", [None, b"cut"])
def test_missing_or_cut_blob_is_uploaded_again(bench: Bench, left: bytes | None) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    there = bench.transport.folder / blob_name(digest)
    there.unlink()
    if left is not None:
        there.write_bytes(left)
    later = bench.reopen()
    assert not later.has(digest, 7)
    later.put_file(path)
    assert there.read_bytes() == b"content"


def test_tarballs_are_removed_from_the_workspace(bench: Bench) -> None:
    part, digest = bench.store.workspace / "part", hashlib.sha256(b"tar").hexdigest()
    part.write_bytes(b"tar")
    bench.store.put(digest, part)
    assert not part.exists()
    assert bench.store.has(digest, 3)
    part.write_bytes(b"tar2")
    bench.transport.errors["upload"] = [PermanentError("full")]
    with pytest.raises(PermanentError, match="full"):
        bench.store.put(hashlib.sha256(b"tar2").hexdigest(), part)
    assert not part.exists()


def test_outage_message_names_the_store(bench: Bench) -> None:
    path, digest = bench.file()
    bench.transport.errors["upload"] = [DOWN]
    bench.transport.lost["upload"] = [DOWN]
    bench.store.put_file(path)
    assert bench.uploads() == [f"upload {blob_name(digest)}"] * 2  # the second upload had arrived
    assert bench.said[0].startswith(f"{URL} does not answer, asked for an upload (Connection ref")
    assert bench.said[1].startswith(f"{URL} answers again")
    assert len(bench.said) == 2


def test_upload_waits_for_credentials(bench: Bench) -> None:
    path, _ = bench.file()
    expired = CredentialsError("the token has expired")
    bench.transport.errors["upload"] = [expired]
    bench.transport.errors["size"] = [expired, expired, expired]
    bench.store.put_file(path)
    assert bench.said[0].startswith("Waiting for credentials: the token has expired.")
    assert bench.said[1].startswith("The credentials are good again")


def test_location_is_recorded_before_the_upload(bench: Bench) -> None:
    path, digest = bench.file()
    bench.transport.errors["upload"] = [PermanentError("no")]
    with pytest.raises(PermanentError):
        bench.store.put_file(path)
    assert bench.catalog.locations() == [f"{URL}/{blob_name(digest)}"]
