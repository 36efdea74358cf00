from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal import catalog as module
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Database(tmp_path / "grid.sqlite"))


@pytest.fixture
def file(tmp_path: Path, catalog: Catalog) -> Path:
    path = tmp_path / "a"
    path.write_text("abc")
    catalog.note([(str(path), path.stat(), "digest")])
    return path


def test_digest_of_an_unchanged_file(catalog: Catalog, file: Path) -> None:
    assert catalog.digest(str(file), file.stat()) == "digest"


def test_digest_of_a_file_never_noted(catalog: Catalog, file: Path) -> None:
    assert catalog.digest(str(file) + "x", file.stat()) is None


def append(path: Path) -> None:
    before = path.stat()
    path.write_text("abcd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, ns=(5, path.stat().st_mtime_ns + 1))


def exchange(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_text("xyz")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [append, touch, exchange])
def test_digest_is_forgotten_with_any_change(
    catalog: Catalog, file: Path, change: Callable[[Path], None]
) -> None:
    change(file)
    assert catalog.digest(str(file), file.stat()) is None


def test_later_note_wins(catalog: Catalog, file: Path) -> None:
    file.write_text("changed")
    catalog.note([(str(file), file.stat(), "newer")])
    assert catalog.digest(str(file), file.stat()) == "newer"


def test_bundles(catalog: Catalog) -> None:
    assert catalog.bundle("f") is None
    catalog.note_bundle("f", "digest", 5).wait()
    catalog.note_bundle("g", "other", 6).wait()
    assert catalog.bundle("f") == ("digest", 5)
    catalog.note_bundle("f", "newer", 1 << 40).wait()
    assert catalog.bundle("f") == ("newer", 1 << 40)


def test_all_is_kept_for_the_next_run(tmp_path: Path, catalog: Catalog, file: Path) -> None:
    catalog.note_bundle("f", "digest", 5).wait()
    again = Catalog(Database(tmp_path / "grid.sqlite"))
    assert again.digest(str(file), file.stat()) == "digest"
    assert again.bundle("f") == ("digest", 5)


def test_digests_that_no_run_has_used_for_long_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 24 * 3600
    now = [1e9]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    files = [tmp_path / name for name in ("used", "unused")]
    for file in files:
        file.touch()
    first = Catalog(Database(tmp_path / "grid.sqlite"))
    first.note((str(file), file.stat(), "digest") for file in files)
    first.note_bundle("used", "digest", 5).wait()
    first.note_bundle("unused", "digest", 6).wait()
    first.note_locations([("digest", "lfn:/vo/blob")]).wait()
    for _ in range(3):
        now[0] += 50 * day
        later = Catalog(Database(tmp_path / "grid.sqlite"))
        assert later.digest(str(files[0]), files[0].stat()) == "digest"
        assert later.bundle("used") == ("digest", 5)
        later.prune()
    again = Catalog(Database(tmp_path / "grid.sqlite"))
    assert again.digest(str(files[1]), files[1].stat()) is None
    assert again.bundle("unused") is None
    assert again.digest(str(files[0]), files[0].stat()) == "digest"
    assert again.locations() == ["lfn:/vo/blob"]


class Growing(set[str]):
    """Gets another element whenever somebody looks at one, as by a thread that uploads."""

    def __iter__(self) -> Iterator[str]:
        for element in super().__iter__():
            self.add(f"{element}.")
            yield element


def test_what_is_used_meanwhile_does_not_disturb(catalog: Catalog, file: Path) -> None:
    catalog._used["files"] = Growing([str(file)])
    catalog.prune()
    assert catalog.digest(str(file), file.stat()) == "digest"
