from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.directory import BlobFolder, DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import RESERVE, SpooledInputs, SpoolStore

LIMIT = RESERVE + 100
SMALL, LARGE = b"s" * 100, b"l" * 101


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = SpoolStore(folder / "spool", lambda: LIMIT, "")
        self.main = DirectoryStore(folder / "main")
        self.main.secret = True
        self.store = SpooledInputs(self.spool, self.main)
        Stores(self.store, self.main).check()

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


def test_the_user_sees_the_other_store(bench: Bench) -> None:
    assert (bench.store.url, bench.store.secret) == (bench.main.url, True)
    assert bench.store.workspace == bench.spool.folder


def test_both_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(BlobFolder, "check", lambda store: checked.append(store.folder))
    Bench(tmp_path)
    assert checked == [tmp_path / "spool", tmp_path / "main"]
