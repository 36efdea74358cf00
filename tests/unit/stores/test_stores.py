from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import GridError, PermanentError, TransientError
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.stores import Means, check_store, open_store
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.rucio.store import RucioStore

DIGEST = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "deep" / "my store")
    store.check()
    return store


@pytest.fixture
def means(tmp_path: Path) -> Iterator[Means]:
    async def fine() -> str:
        return ""

    database = Database(tmp_path / "grid.sqlite")
    outages = Outages("local", 1.0, fine, print)
    yield Means(tmp_path / "remote", Catalog(database), outages)
    database.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "abc.txt"
    path.write_bytes(b"abc")
    return path


def content(store: DirectoryStore) -> bytes:
    """Read the blob as a worker does."""
    return Path(unquote(urlsplit(store.locate(DIGEST)).path)).read_bytes()


def deliver(store: DirectoryStore, job: str) -> None:
    """Deliver the blob as the worker of a job does."""
    folder = Path(unquote(urlsplit(store.inbox(job)).path))
    folder.mkdir(parents=True)
    (folder / DIGEST).write_bytes(b"abc")


def test_check_makes_the_folder_and_leaves_nothing_in_it(store: DirectoryStore) -> None:
    store.check()
    assert list(store.folder.iterdir()) == []


def test_check_of_a_folder_that_cannot_be_made(tmp_path: Path, file: Path) -> None:
    for folder in (file, file / "below"):
        with pytest.raises(PermanentError, match=r"abc\.txt.*: cannot be written .*--grid-store"):
            DirectoryStore(folder).check()


def test_a_store_that_was_used_before_is_not_made_anew(tmp_path: Path, means: Means) -> None:
    store = DirectoryStore(tmp_path / "mounted" / "my store", means.catalog)
    store.check()  # the first time it is
    assert means.catalog.stores() == [store.url]
    store.check()
    (store.folder / DIGEST).write_bytes(b"abc")
    store.folder.parent.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(PermanentError, match=r"my%20store: .*earlier run.* missing.*mounted"):
            store.check()
    assert not store.folder.parent.exists()
    other = DirectoryStore(tmp_path / "other", means.catalog)
    other.check()
    assert means.catalog.stores() == [store.url, other.url]
    (tmp_path / "away").rename(store.folder.parent)
    store.check()
    assert content(store) == b"abc"


def test_an_empty_folder_says_that_a_store_was_removed_on_purpose(
    tmp_path: Path, means: Means
) -> None:
    store = open_store((tmp_path / "store").as_uri(), tmp_path / "work", means)
    store.check()
    (tmp_path / "store").rmdir()
    with pytest.raises(PermanentError, match="make an empty folder"):
        store.check()
    (tmp_path / "store").mkdir()
    store.check()
    assert list((tmp_path / "store").iterdir()) == []


def test_a_store_that_could_not_be_used_was_not_used_before(
    tmp_path: Path, means: Means, file: Path
) -> None:
    store = DirectoryStore(file / "below", means.catalog)
    for _ in range(2):
        with pytest.raises(PermanentError, match="cannot be written"):
            store.check()
    assert means.catalog.stores() == []
    file.unlink()
    store.check()


def test_the_store_of_a_site_is_made_anew(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.check()
    store.folder.rmdir()
    store.check()
    assert store.folder.is_dir()


def test_what_cannot_be_posted_or_withdrawn_may_be_later(store: DirectoryStore, file: Path) -> None:
    (store.folder / "posted").write_text("in the way")
    with pytest.raises(TransientError, match="my%20store"):
        store.post("chunk-1", file)
    with pytest.raises(TransientError, match="my%20store"):
        store.withdraw(["chunk-1"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_of_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermanentError, match=r"cannot be written \(Permission denied\)"):
        DirectoryStore(tmp_path).check()


def test_file_of_the_user_is_copied(store: DirectoryStore, file: Path) -> None:
    assert not store.has(DIGEST, 3)
    assert store.put_file(file) == (3, DIGEST)
    assert store.has(DIGEST, 3)
    assert not store.has(DIGEST, 4)
    assert file.read_bytes() == b"abc"
    file.write_bytes(b"changed")
    assert content(store) == b"abc"
    assert os.listdir(store.folder) == [DIGEST]  # noqa: PTH208 - names


def test_file_of_the_workspace_is_moved(store: DirectoryStore) -> None:
    part = store.workspace / "part"
    part.write_bytes(b"abc")
    store.put(DIGEST, part)
    assert not part.exists()
    assert content(store) == b"abc"


def test_same_content_twice(store: DirectoryStore, file: Path) -> None:
    assert store.put_file(file) == store.put_file(file)
    assert len(list(store.folder.iterdir())) == 1


def test_file_that_cannot_be_read_leaves_nothing(store: DirectoryStore, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        store.put_file(tmp_path / "missing")
    assert list(store.folder.iterdir()) == []


def test_worker_finds_the_blob_by_its_url(store: DirectoryStore, file: Path) -> None:
    store.put_file(file)
    url = store.locate(DIGEST)
    assert url == f"file://{store.folder.parent}/my%20store/{DIGEST}"
    assert url.startswith(store.url + "/")


def test_what_a_job_delivered_is_its_own(store: DirectoryStore) -> None:
    deliver(store, "j1")
    assert store.fetch_output("j1", DIGEST).read_bytes() == b"abc"
    assert not store.has(DIGEST, 1)  # nobody has checked it yet
    with pytest.raises(GridError, match=f"{store.url}: .*{DIGEST}"):
        store.fetch_output("j2", DIGEST)


def test_what_was_delivered_can_be_kept(store: DirectoryStore) -> None:
    deliver(store, "j1")
    store.keep("j1", [DIGEST])
    store.drop("j1")
    assert content(store) == b"abc"


def test_what_was_delivered_can_be_dropped(store: DirectoryStore) -> None:
    for job in ("j1", "j2"):
        deliver(store, job)
    store.drop("j1")
    store.drop("never-delivered")
    assert not store.has(DIGEST, 3)
    assert store.fetch_output("j2", DIGEST).exists()
    with pytest.raises(GridError):
        store.fetch_output("j1", DIGEST)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a/b", "a" * 63, "." * 64, "/" * 64])
def test_what_is_no_digest_reaches_no_file(store: DirectoryStore, digest: str) -> None:
    calls = (
        lambda name: store.has(name, 1),
        store.locate,
        lambda name: store.fetch_output("j", name),
        lambda name: store.keep("j", [name]),
    )
    for call in calls:
        with pytest.raises(GridError, match="is no SHA-256"):
            call(digest)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///shared/me", "/shared/me"),
        ("file://localhost/shared/me", "/shared/me"),
        ("file:///shared/my%20files", "/shared/my files"),
    ],
)
def test_url_of_a_folder(tmp_path: Path, means: Means, url: str, folder: str) -> None:
    store = open_store(url, tmp_path, means)
    assert isinstance(store, DirectoryStore)
    assert store.folder == Path(folder)


def test_own_url_leads_back_to_the_store(
    store: DirectoryStore, tmp_path: Path, means: Means
) -> None:
    again = open_store(store.url, tmp_path / "work", means)
    assert isinstance(again, DirectoryStore)
    assert again.folder == store.folder


def test_a_store_in_rucio(tmp_path: Path, means: Means) -> None:
    url = "rucio://user.me/run?rse=RSE"
    check_store(url, tmp_path)
    store = open_store(url, tmp_path, means)
    assert isinstance(store, RucioStore)
    assert store.url == "rucio://user.me/run", "without what is behind the ?"
    with pytest.raises(PermanentError, match="has to name one storage element"):
        check_store("rucio://user.me/run", tmp_path)


@pytest.mark.parametrize("url", ["gs://bucket/me", "/shared/me", "", "lfn:/vo/user"])
def test_url_of_an_unknown_kind(tmp_path: Path, url: str) -> None:
    with pytest.raises(PermanentError, match=f"--grid-store {url}: no store of this kind"):
        check_store(url, tmp_path)


@pytest.mark.parametrize("url", ["file://shared/me", "file:shared/me", "file:", "file://"])
def test_url_without_an_absolute_path(tmp_path: Path, url: str) -> None:
    with pytest.raises(PermanentError, match="three slashes"):
        check_store(url, tmp_path)


def test_store_below_the_working_directory_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "link").symlink_to(work)
    for folder in (work, work / "store", tmp_path / "link" / "store"):
        with pytest.raises(PermanentError, match="below the working directory"):
            check_store(folder.as_uri(), work)
    check_store((tmp_path / "work2").as_uri(), work)


def test_directory_store_keeps_reports_and_posted_files(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.check()
    path, target = tmp_path / "file", tmp_path / "target"
    path.write_bytes(b"secret")
    url = store.post("chunk-1", path)
    posted = tmp_path / "store" / "posted" / "chunk-1"
    assert url == posted.as_uri()
    assert posted.read_bytes() == b"secret"
    assert posted.stat().st_mode & 0o777 == 0o600
    assert store.fetch_posted("chunk-1", target)
    assert target.read_bytes() == b"secret"
    store.withdraw(["chunk-1", "never-posted"])
    assert not store.fetch_posted("chunk-1", target)
    assert list(posted.parent.iterdir()) == []
    assert not store.fetch_file("j-1", "report.json", target)
    folder = tmp_path / "store" / "delivered" / "j-1"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    assert store.inbox("j-1") == folder.as_uri()
    assert store.fetch_file("j-1", "report.json", target)
    assert target.read_text() == "{}"
    with pytest.raises(FileNotFoundError):
        store.fetch_file("j-1", "report.json", tmp_path / "none" / "target")


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
def test_only_regular_files_are_taken_from_the_store(
    store: DirectoryStore, file: Path, tmp_path: Path, kind: str
) -> None:
    """A worker could otherwise pass a file of the user off as its own, or stop the run."""
    folder = Path(unquote(urlsplit(store.inbox("j")).path))
    folder.mkdir(parents=True)
    for path in (folder / DIGEST, folder / "report.json", store.folder / ("f" * 64)):
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(file if kind == "link" else "nowhere")
    with pytest.raises(PermanentError, match="regular file"):
        store.fetch_output("j", DIGEST)
    with pytest.raises(PermanentError, match="regular file"):
        store.keep("j", [DIGEST])
    with pytest.raises(PermanentError, match="regular file"):
        store.fetch_file("j", "report.json", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not store.has("f" * 64, 3)


def test_inbox_that_is_a_file_is_an_empty_one(store: DirectoryStore, tmp_path: Path) -> None:
    inbox = Path(unquote(urlsplit(store.inbox("j")).path))
    inbox.parent.mkdir(parents=True)
    inbox.touch()
    with pytest.raises(GridError, match="not delivered"):
        store.fetch_output("j", DIGEST)
    assert not store.fetch_file("j", "report.json", tmp_path / "target")
