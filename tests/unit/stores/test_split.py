from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError, TransientError
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.split import SplitStore
from snakemake_executor_plugin_grid.stores.spool import RESERVE, SpoolStore

LIMIT = RESERVE + 100
SMALL, LARGE = b"s" * 100, b"l" * 101


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = SpoolStore(folder / "spool", lambda: LIMIT, "")
        self.main = DirectoryStore(folder / "main")
        self.main.secret = True
        self.store = SplitStore(self.spool, self.main)
        self.store.check()

    def file(self, content: bytes, inside: bool) -> Path:
        path = (self.store.workspace if inside else self.folder) / "file"
        path.write_bytes(content)
        return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(bench: Bench, content: bytes) -> None:
    path = bench.file(content, inside=True)
    bench.store.put(digest(content), path)
    assert not path.exists()


def put_file(bench: Bench, content: bytes) -> None:
    path = bench.file(content, inside=False)
    assert bench.store.put_file(path) == (len(content), digest(content))
    assert path.exists()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("way", [put, put_file])
def test_small_blobs_are_carried_and_others_stored(
    bench: Bench, way: Callable[[Bench, bytes], None]
) -> None:
    for content in (SMALL, LARGE):
        assert not bench.store.has(digest(content), len(content))
        way(bench, content)
        assert bench.store.has(digest(content), len(content))
    assert bench.spool.path(digest(SMALL)).read_bytes() == SMALL
    assert bench.store.locate(digest(SMALL)) == ""
    found = Path(urlsplit(bench.store.locate(digest(LARGE))).path)
    assert found.read_bytes() == LARGE
    assert found.is_relative_to(bench.main.folder)
    assert not bench.spool.path(digest(LARGE)).exists()


def test_a_file_that_cannot_be_stored_takes_no_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> tuple[int, str]:
        raise TransientError("no space left")

    monkeypatch.setattr(bench.main, "put_file", full)
    with pytest.raises(TransientError):
        put(bench, LARGE)
    assert not (bench.store.workspace / "file").exists()


def test_what_jobs_bring_goes_to_the_other_store(bench: Bench) -> None:
    inbox = Path(urlsplit(bench.store.inbox("job")).path)
    assert bench.store.inbox("job") == bench.store.reports("job") == bench.main.inbox("job")
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / digest(SMALL)).write_bytes(SMALL)
    (inbox / "report.json").write_text("{}")
    assert bench.store.delivered("job", digest(SMALL)).read_bytes() == SMALL
    assert bench.store.brought("job", "report.json", bench.folder / "report")
    assert not bench.store.brought("job", "payload.log", bench.folder / "log")
    bench.store.keep("job", [digest(SMALL)])
    assert bench.main.has(digest(SMALL), len(SMALL))
    (inbox / "more").touch()
    bench.store.drop("job")
    assert not inbox.exists()


def test_what_is_private_is_never_carried(bench: Bench) -> None:
    url = bench.store.post("private.json", bench.file(b"hush", inside=False))
    path = Path(urlsplit(url).path)
    assert path.is_relative_to(bench.main.folder)
    assert path.read_bytes() == b"hush"
    bench.store.withdraw(["private.json", "not.there"])
    assert not path.exists()


def test_the_user_sees_the_other_store(bench: Bench) -> None:
    assert (bench.store.url, bench.store.secret) == (bench.main.url, True)
    assert bench.store.limits == bench.main.limits != bench.spool.limits


def test_both_are_checked(tmp_path: Path) -> None:
    (tmp_path / "main").touch()
    with pytest.raises(GridError, match="main"):
        Bench(tmp_path)
