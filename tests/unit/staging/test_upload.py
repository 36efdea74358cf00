from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.job import JobSpec
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.staging.upload import Upload, _growth
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker.archive.listing import Entry, scan
from snakemake_executor_plugin_grid.worker.description import Blob, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree
from tests.unit.console.test_progress import Heard
from tests.unit.specs import spec

LARGE = 1000


class Submission:
    """A submit host with a store."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.home = folder / "me" / "home"
        self.home.mkdir(parents=True)
        self.folder = folder
        self.pool = pool
        self.store = DirectoryStore(folder / "store")
        self.store.check()
        self.database = Database(folder / "grid.sqlite")

    def upload(self, compression: str = "none") -> Upload:
        """Return the upload of a new run, with the catalog of earlier runs."""
        return Upload(
            Layout(self.home),
            self.store,
            Catalog(self.database),
            self.pool,
            large_file=LARGE,
            compression=compression,
        )

    def put(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sources(self, *names: str) -> dict[str, Entry]:
        return {
            entry.name: entry for name in names for entry in scan(self.home / name, f"work/{name}")
        }

    def stored(self) -> set[str]:
        return {path.name for path in self.store.folder.iterdir()}

    def arrive(self, blobs: Iterable[Blob]) -> dict[str, str]:
        """Stage in as a worker does; return the files by name."""
        sandbox = self.folder / "sandboxes" / str(len(list(self.folder.glob("sandboxes/*"))))
        sandbox.mkdir(parents=True)
        tree = Tree(sandbox / "tree", ("me", "home"))
        job = Job("j", "", ("me", "home"), tuple(blobs), (), Runtime("inherit"))
        names, _ = stage_in(job, sandbox, tree, sandbox / "runtime")
        files = {name: tree.path(name).read_text() for name in names if tree.path(name).is_file()}
        assert set(tree.files()) <= names
        return files


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Submission]:
    with ThreadPoolExecutor(2) as pool:
        yield Submission(tmp_path, pool)


def prepared(upload: Upload, *specs: JobSpec) -> dict[str, tuple[Blob, ...]]:
    found = {}
    for name, blobs in upload.prepare(specs).items():
        assert not isinstance(blobs, GridError), blobs
        found[name] = blobs
    return found


def change_unnoticed(path: Path, text: str) -> None:
    """Change a file so that only its contents differ."""
    before = path.stat()
    assert before.st_size == len(text)
    with path.open("r+") as stream:
        stream.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_inputs_arrive_under_their_names(host: Submission) -> None:
    host.put("a.txt", "a")
    host.put("data/b/c.txt", "c")
    host.put("../shared/d.txt", "d")
    host.put("large", "l" * LARGE)
    job = spec("j", ["a.txt", "data", "../shared/d.txt", str(host.home / "large"), "/cvmfs/x"])
    blobs = prepared(host.upload(), job)["j"]
    assert host.arrive(blobs) == {
        "work/a.txt": "a",
        "work/data/b/c.txt": "c",
        "up1/shared/d.txt": "d",
        "work/large": "l" * LARGE,
    }


def test_uploads_are_shown_by_name(host: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(progress, "_current", heard)
    host.put("Snakefile", "rule a: pass")
    host.put("config.yaml", "a: 1")
    host.put("a.txt", "a")
    host.put("b.txt", "bb")
    host.put("c.txt", "ccc")
    path = host.put("data/large", "l" * LARGE)
    upload, url = host.upload(), host.store.url
    upload.send_sources(host.sources("Snakefile", "config.yaml"))
    upload.send_folder(host.home)
    prepared(upload, spec("j", ["a.txt", "b.txt", "data"]))
    prepared(upload, spec("k", ["a.txt", "b.txt", "c.txt", "data"]))
    assert sorted(heard.announced) == sorted(
        [
            ("2 source files", 16, True, url),
            ("6 files of Snakemake", 1022, True, url),
            ("2 small files", 3, True, url),
            ("data/large", LARGE, True, url),
            (path.name, LARGE, True, url),  # nested: the store shows its own transfer
            ("c.txt", 3, True, url),
        ]
    )


def test_an_archive_is_measured_while_it_is_written(tmp_path: Path) -> None:
    archive = tmp_path / ".abc.part"
    measure = _growth(archive)
    assert measure() == 0
    part = tmp_path / "..abc.part.012.part"
    part.write_bytes(bytes(10))
    assert measure() == 10
    part.write_bytes(bytes(20))
    assert measure() == 20


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_tarballs_are_compressed(host: Submission, compression: str) -> None:
    host.put("a.txt", "a" * (LARGE - 1))
    blobs = prepared(host.upload(compression), spec("j", ["a.txt"]))["j"]
    assert [blob.compression for blob in blobs] == [compression]
    assert host.arrive(blobs) == {"work/a.txt": "a" * (LARGE - 1)}


@pytest.mark.parametrize("text", ["small", "l" * LARGE])
def test_input_of_many_jobs_is_stored_once(host: Submission, text: str) -> None:
    host.put("table", text)
    upload = host.upload()
    jobs = [spec(f"j{number}", ["table"], ["table"]) for number in range(5)]
    found = {**prepared(upload, *jobs[:3]), **prepared(upload, *jobs[3:])}
    assert len(set(found.values())) == 1
    assert len(host.stored()) == 1
    assert host.arrive(found["j4"]) == {"work/table": text}


def test_a_job_does_not_get_files_of_other_jobs(host: Submission) -> None:
    host.put("table", "t")
    for number in range(4):
        host.put(f"in{number}", str(number))
    jobs = [spec(f"j{number}", ["table", f"in{number}"], ["table"]) for number in range(4)]
    upload = host.upload()
    found = {**prepared(upload, *jobs[:2]), **prepared(upload, *jobs[2:])}
    for number in range(4):
        arrived = host.arrive(found[f"j{number}"])
        assert arrived == {"work/table": "t", f"work/in{number}": str(number)}


def test_file_of_later_jobs_is_not_packed_with_a_private_one(host: Submission) -> None:
    host.put("table", "t")
    host.put("private", "p" * (LARGE - 1))
    upload = host.upload()
    first = prepared(upload, spec("j1", ["table", "private"], ["table"]))["j1"]
    second = prepared(upload, spec("j2", ["table"], ["table"]))["j2"]
    assert len(first) == 2
    assert set(second) < set(first)
    assert sum(blob.size for blob in second) < sum(blob.size for blob in first) / 1.2


def test_small_files_of_the_same_jobs_share_a_tarball(host: Submission) -> None:
    names = [f"f{number}" for number in range(20)]
    for name in names:
        host.put(name, name)
    blobs = prepared(host.upload(), spec("j", names))["j"]
    assert [blob.kind for blob in blobs] == ["tar"]
    assert host.arrive(blobs) == {f"work/{name}": name for name in names}


def test_a_large_file_is_stored_unpacked(host: Submission) -> None:
    path = host.put("large", "l" * LARGE)
    path.chmod(0o750)
    (blob,) = prepared(host.upload(), spec("j", ["large"]))["j"]
    assert (blob.kind, blob.name, blob.mode, blob.size) == ("raw", "work/large", 0o750, LARGE)
    assert blob.mtime_ns == path.stat().st_mtime_ns
    assert (host.store.folder / blob.digest).read_text() == "l" * LARGE


def test_unchanged_files_are_not_read_again_by_the_next_run(host: Submission) -> None:
    large = host.put("large", "l" * LARGE)
    small = host.put("small", "s")
    before = prepared(host.upload(), spec("j", ["large", "small"]))
    change_unnoticed(large, "x" * LARGE)
    change_unnoticed(small, "x")
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
    assert set(host.arrive(before["j"])) == {"work/large", "work/small"}


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
    assert host.arrive(blobs) == {"work/in": path.read_text()}


def test_a_later_job_gets_the_new_version_of_an_input(host: Submission) -> None:
    path = host.put("in", "old")
    upload = host.upload()
    old = prepared(upload, spec("j1", ["in"], ["in"]))["j1"]
    path.write_text("newer")
    new = prepared(upload, spec("j2", ["in"], ["in"]))["j2"]
    assert host.arrive(new) == {"work/in": "newer"}
    assert host.arrive(old) == {"work/in": "old"}


def test_every_job_gets_the_sources(host: Submission) -> None:
    host.put("Snakefile", "rule a")
    host.put("model.bin", "m" * LARGE)
    host.put("in", "i")
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "model.bin"))
    found = prepared(upload, spec("j1"), spec("j2", ["in"]))
    sources = {"work/Snakefile": "rule a", "work/model.bin": "m" * LARGE}
    assert host.arrive(found["j1"]) == sources
    assert host.arrive(found["j2"]) == sources | {"work/in": "i"}


def test_input_that_is_a_source_travels_once(host: Submission) -> None:
    host.put("Snakefile", "rule a")
    host.put("config/a.yaml", "a")
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "config/a.yaml"))
    found = prepared(upload, spec("j1"), spec("j2", ["config/a.yaml"]))
    assert found["j1"] == found["j2"]


@pytest.mark.parametrize(("old", "new"), [("old", "newer"), ("o" * LARGE, "n" * (LARGE + 1))])
def test_newer_version_of_a_source_wins(host: Submission, old: str, new: str) -> None:
    host.put("Snakefile", "rule a")
    path = host.put("state", old)
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "state"))
    path.write_text(new)
    found = prepared(upload, spec("j1"), spec("j2", ["state"]))
    assert host.arrive(found["j1"])["work/state"] == old
    assert host.arrive(found["j2"]) == {"work/Snakefile": "rule a", "work/state": new}


def test_no_sources_are_no_tarball(host: Submission) -> None:
    upload = host.upload()
    upload.send_sources({})
    assert prepared(upload, spec("j")) == {"j": ()}
    assert host.stored() == set()


def test_depth_of_the_sources(host: Submission) -> None:
    host.put("../lib/tool.py", "t")
    upload = host.upload()
    (entry,) = scan(host.home / "../lib/tool.py", "up1/lib/tool.py")
    assert upload.depth == 0
    upload.send_sources({entry.name: entry})
    assert upload.depth == 1


def test_folder_for_the_runtime(host: Submission) -> None:
    host.put("wheels/pkg/__init__.py", "x = 1")
    blob = host.upload().send_folder(host.home / "wheels")
    assert blob.kind == "runtime"
    host.arrive([blob])
    assert (host.folder / "sandboxes/0/runtime/pkg/__init__.py").read_text() == "x = 1"


def test_a_missing_input_fails_only_its_job(host: Submission) -> None:
    host.put("a", "a")
    found = host.upload().prepare(
        [spec("good", ["a"], ["a"]), spec("bad", ["a", "missing"], ["a"]), spec("none")]
    )
    assert str(found["bad"]) == "input missing does not exist"
    assert not isinstance(found["good"], GridError)
    assert host.arrive(found["good"]) == {"work/a": "a"}
    assert found["none"] == ()


@pytest.mark.parametrize("size", [3, LARGE])
def test_an_input_that_vanishes_during_its_upload_fails_only_its_jobs(
    host: Submission, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    host.put("a", "a")
    gone = host.put("gone", "g" * size)
    upload = host.upload()
    scan_all = Upload._scan

    def scan_then_remove(self: Upload, path: str) -> object:
        found = scan_all(self, path)
        if path == "gone":
            gone.unlink()
        return found

    monkeypatch.setattr(Upload, "_scan", scan_then_remove)
    found = upload.prepare([spec("good", ["a"]), spec("bad", ["gone"])])
    assert "gone" in str(found["bad"])
    assert isinstance(found["bad"], GridError)
    assert not isinstance(found["good"], GridError)
    assert host.arrive(found["good"]) == {"work/a": "a"}
    assert not [name for name in host.stored() if name.endswith(".part")]


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


def test_empty_folder_and_link_inputs(host: Submission) -> None:
    (host.home / "empty").mkdir()
    host.put("d/a", "a")
    (host.home / "d" / "link").symlink_to("a")
    (blob,) = prepared(host.upload(), spec("j", ["empty", "d"]))["j"]
    assert host.arrive([blob])["work/d/link"] == "a"
    assert (host.folder / "sandboxes/0/tree/me/home/empty").is_dir()
