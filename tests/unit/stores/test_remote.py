from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.console.progress import NOTHING, Transfer
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.stores import DirectoryStore
from snakemake_executor_plugin_grid.stores.remote import RemoteStore
from snakemake_executor_plugin_grid.stores.transport import Transport
from tests.unit.clock import VirtualClock
from tests.unit.console.test_progress import Heard

URL = "test://host/me"
DOWN = TransientError("Connection refused")


class FolderTransport(Transport):
    """Files in a folder, behind a connection that breaks as it is told."""

    def __init__(self, folder: Path) -> None:
        self.url = URL
        self.folder = folder
        self.calls: list[str] = []
        self.errors: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}

    def _fail(self, what: str, errors: dict[str, list[Exception]]) -> None:
        if errors.get(what):
            raise errors[what].pop(0)

    def check(self) -> None:
        self._fail("check", self.errors)

    def size(self, name: str) -> int | None:
        self.calls.append("size")
        self._fail("size", self.errors)
        path = self.folder / name
        return path.stat().st_size if path.exists() else None

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        self.calls.append(f"upload {name}")
        transfer.advance(path.stat().st_size)
        self._fail("upload", self.errors)
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.folder / name)
        self._fail("upload", self.lost)

    def download(self, name: str, path: Path, transfer: Transfer = NOTHING) -> None:
        self.calls.append(f"download {name}")
        path.write_bytes(b"part")
        self._fail("download", self.errors)
        if not (self.folder / name).exists():
            raise MissingError(f"{name} is not there")
        shutil.copyfile(self.folder / name, path)
        transfer.advance(path.stat().st_size)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        self.calls.append("remove")
        self._fail("remove", self.errors)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        return {}

    def listing(self, folder: str) -> list[str]:
        return [path.name for path in (self.folder / folder).glob("*")]

    def tidy(self, folder: str) -> None:
        if not self.listing(folder):
            (self.folder / folder).rmdir()

    def source(self, name: str) -> str:
        return f"{URL}/{name}?signature"

    def inbox(self, folder: str) -> str:
        return f"{URL}/{folder}?signature"

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        }


class Bench:
    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.transport = FolderTransport(folder / "remote")
        self.transport.folder.mkdir()
        self.database = Database(folder / "grid.sqlite")
        self.catalog = Catalog(self.database)
        self.said: list[str] = []

        async def fine() -> str:
            return ""

        self.outages = Outages("local", 60.0, fine, self.said.append, VirtualClock())
        self.outages.use_loop(loop)
        self.store = self.again()

    def again(self) -> RemoteStore:
        """Return the store as a later run has it."""
        store = RemoteStore(self.transport, self.folder / "work", self.outages, self.catalog)
        store.check()
        self.transport.calls.clear()
        return store

    def file(self, content: bytes = b"content", name: str = "input") -> tuple[Path, str]:
        path = self.folder / name
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    def deliver(self, job: str, content: bytes, leaf: str = "") -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self.transport.folder / "delivered" / job / (leaf or digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def uploads(self) -> list[str]:
        return [call for call in self.transport.calls if call.startswith("upload")]


@pytest.fixture
def bench(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    bench = Bench(tmp_path, loop)
    yield bench
    bench.database.close()


def name_of(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def test_the_check_leaves_nothing_but_a_note(bench: Bench) -> None:
    assert bench.transport.files() == set()
    assert list(bench.store.workspace.iterdir()) == []
    assert bench.catalog.stores() == [URL]


def test_the_check_empties_the_workspace(bench: Bench) -> None:
    (bench.store.workspace / "left").touch()
    bench.again()
    assert list(bench.store.workspace.iterdir()) == []


@pytest.mark.parametrize("what", ["check", "upload", "download", "remove"])
def test_a_place_that_cannot_be_used_is_named(bench: Bench, what: str) -> None:
    for error in (PermanentError("so it is"), TransientError("so it is")):
        bench.transport.errors[what] = [error]
        with pytest.raises(type(error), match=f"--grid-store {URL}: it cannot be used: so it is"):
            bench.again()
    bench.transport.errors[what] = [CredentialsError("renew it")]
    with pytest.raises(CredentialsError, match=r"^renew it$"):
        bench.again()


def test_a_place_that_gives_back_something_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.transport, "download", lambda name, path: path.write_bytes(b"page"))
    with pytest.raises(PermanentError, match="is not what was written"):
        bench.again()


def test_a_file_that_changes_meanwhile_is_not_kept_under_its_old_digest(
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


def test_transfers_of_blobs_are_counted_each_try_anew(
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


def test_what_others_have_removed_is_uploaded_but_once(bench: Bench) -> None:
    path, digest = bench.file()
    bench.deliver("make-1-1", b"content")
    bench.store.fetch_output("make-1-1", digest)
    bench.store.keep("make-1-1", [digest])
    shutil.rmtree(bench.transport.folder / "delivered")
    for uploads in ([f"upload {name_of(digest)}"], []):
        bench.store = bench.again()
        bench.store.put_file(path)
        assert bench.uploads() == uploads
    assert bench.catalog.locations() == [f"{URL}/{name_of(digest)}"]


def test_a_file_goes_up_once(bench: Bench) -> None:
    path, digest = bench.file()
    assert not bench.store.has(digest, 7)
    for _ in range(2):
        assert bench.store.put_file(path) == (7, digest)
    assert bench.uploads() == [f"upload {name_of(digest)}"]
    assert bench.transport.files() == {name_of(digest)}
    assert bench.store.has(digest, 7)
    assert bench.store.locate(digest) == f"{URL}/{name_of(digest)}?signature"
    assert bench.catalog.locations() == [f"{URL}/{name_of(digest)}"]


def test_later_runs_find_what_is_there(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    later = bench.again()
    assert later.has(digest, 7)
    later.put_file(path)
    assert bench.uploads() == []


def test_what_another_store_has_is_not_here(bench: Bench) -> None:
    path, digest = bench.file()
    bench.catalog.note_locations([(digest, f"lfn:/vo/blobs/{digest}"), (digest, f"{URL}2/x")])
    assert not bench.store.has(digest, 7)
    bench.store.put_file(path)
    assert bench.uploads() == [f"upload {name_of(digest)}"]


@pytest.mark.parametrize("left", [None, b"cut"])
def test_what_is_not_whole_goes_up_again(bench: Bench, left: bytes | None) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    there = bench.transport.folder / name_of(digest)
    there.unlink()
    if left is not None:
        there.write_bytes(left)
    later = bench.again()
    assert not later.has(digest, 7)
    later.put_file(path)
    assert there.read_bytes() == b"content"


def test_tarballs_are_gone_from_the_workspace(bench: Bench) -> None:
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


def test_an_outage_is_waited_out_in_the_name_of_the_store(bench: Bench) -> None:
    path, digest = bench.file()
    bench.transport.errors["upload"] = [DOWN]
    bench.transport.lost["upload"] = [DOWN]
    bench.store.put_file(path)
    assert bench.uploads() == [f"upload {name_of(digest)}"] * 2  # the third one had arrived
    assert bench.said[0].startswith(f"{URL} does not answer, asked for an upload (Connection ref")
    assert bench.said[1].startswith(f"{URL} answers again")
    assert len(bench.said) == 2


def test_credentials_are_waited_for(bench: Bench) -> None:
    path, _ = bench.file()
    expired = CredentialsError("the token has expired")
    bench.transport.errors["upload"] = [expired]
    bench.transport.errors["size"] = [expired, expired, expired]
    bench.store.put_file(path)
    assert bench.said[0].startswith("Waiting for credentials: the token has expired.")
    assert bench.said[1].startswith("The credentials are good again")


def test_what_is_put_there_is_noted_before(bench: Bench) -> None:
    path, digest = bench.file()
    bench.transport.errors["upload"] = [PermanentError("no")]
    with pytest.raises(PermanentError):
        bench.store.put_file(path)
    assert bench.catalog.locations() == [f"{URL}/{name_of(digest)}"]


def test_what_a_job_delivered_is_downloaded_once(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"output")
    assert bench.store.inbox("j-1") == f"{URL}/delivered/j-1?signature"
    bench.transport.errors["download"] = [DOWN]
    for _ in range(2):
        assert bench.store.fetch_output("j-1", digest).read_bytes() == b"output"
    assert bench.transport.calls == [f"download delivered/j-1/{digest}"] * 2  # once in vain


def test_an_output_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(MissingError, match=f"has not delivered delivered/j-1/{'a' * 64}"):
        bench.store.fetch_output("j-1", "a" * 64)
    assert [path for path in bench.store.workspace.rglob("*") if path.is_file()] == []


def test_what_serves_other_jobs_stays_and_the_rest_goes(bench: Bench) -> None:
    kept, left = bench.deliver("j-1", b"kept"), bench.deliver("j-1", b"left")
    bench.deliver("j-1", b"{}", "report.json")
    paths = [bench.store.fetch_output("j-1", digest) for digest in (kept, left)]
    assert bench.store.fetch_file("j-1", "report.json", bench.folder / "report.json")
    bench.store.keep("j-1", [kept, "never delivered"])
    bench.store.drop("j-1")
    assert bench.transport.files() == {f"delivered/j-1/{kept}"}
    assert not any(path.exists() for path in paths)
    assert bench.store.locate(kept) == f"{URL}/delivered/j-1/{kept}?signature"
    later = bench.again()
    assert later.has(kept, 4)
    assert later.locate(kept) == f"{URL}/delivered/j-1/{kept}?signature"
    assert not later.has(left, 4)


def test_nothing_stays_of_a_job_that_serves_no_other(bench: Bench) -> None:
    bench.store.fetch_output("j-1", bench.deliver("j-1", b"left"))
    bench.store.drop("j-1")
    assert list((bench.transport.folder / "delivered").iterdir()) == []
    bench.transport.calls.clear()
    bench.store.drop("j-2")
    assert bench.transport.calls == []


def test_what_cannot_be_removed_is_remembered(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"left")
    bench.store.fetch_output("j-1", digest)
    bench.transport.errors["remove"] = [DOWN]
    bench.store.drop("j-1")
    assert bench.catalog.locations() == [f"{URL}/delivered/j-1/{digest}"]
    assert bench.catalog.location(digest) is None  # it is of no use any more


def test_reports_and_logs(bench: Bench) -> None:
    target = bench.folder / "report.json"
    assert not bench.store.fetch_file("j-1", "report.json", target)
    assert not target.exists()
    bench.deliver("j-1", b"{}", "report.json")
    bench.transport.errors["download"] = [DOWN]
    assert bench.store.fetch_file("j-1", "report.json", target)
    assert target.read_bytes() == b"{}"
    assert [path.name for path in target.parent.glob("*.part")] == []


def test_posted_files(bench: Bench) -> None:
    path, _ = bench.file(b"secret")
    assert bench.store.post("chunk-1", path) == f"{URL}/posted/chunk-1?signature"
    assert bench.catalog.locations() == [f"{URL}/posted/chunk-1"]
    path.write_bytes(b"other!")
    bench.store.post("chunk-1", path)
    assert (bench.transport.folder / "posted" / "chunk-1").read_bytes() == b"other!"
    bench.transport.errors["remove"] = [DOWN]
    bench.store.withdraw(["chunk-1"])
    assert bench.catalog.locations() == [f"{URL}/posted/chunk-1"]
    bench.store.withdraw(["chunk-1", "never-posted"])
    assert bench.catalog.locations() == []
    assert bench.transport.files() == set()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\nb", "-x"])
def test_names_lead_to_no_other_folder(bench: Bench, name: str) -> None:
    path, _ = bench.file()
    calls: list[Callable[[], object]] = [
        lambda: bench.store.post(name, path),
        lambda: bench.store.withdraw([name]),
        lambda: bench.store.fetch_file("j-1", name, path),
        lambda: bench.store.inbox(name),
    ]
    for call in calls:
        with pytest.raises(GridError, match="is no plain name"):
            call()
    assert bench.transport.calls == []


def test_folders_have_reports_and_posted_files_too(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.check()
    path, target = tmp_path / "file", tmp_path / "target"
    path.write_bytes(b"secret")
    url = store.post("chunk-1", path)
    posted = tmp_path / "store" / "posted" / "chunk-1"
    assert url == posted.as_uri()
    assert posted.read_bytes() == b"secret"
    assert posted.stat().st_mode & 0o777 == 0o600
    store.withdraw(["chunk-1", "never-posted"])
    assert list(posted.parent.iterdir()) == []
    assert not store.fetch_file("j-1", "report.json", target)
    folder = tmp_path / "store" / "delivered" / "j-1"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    assert store.inbox("j-1") == folder.as_uri()
    assert store.fetch_file("j-1", "report.json", target)
    assert target.read_text() == "{}"
    (folder / "payload.log").mkdir()  # as good as unreadable
    with pytest.raises(TransientError, match=r"payload\.log"):
        store.fetch_file("j-1", "payload.log", target)
    with pytest.raises(FileNotFoundError):
        store.fetch_file("j-1", "report.json", tmp_path / "none" / "target")
