"""Upload: inputs and sources are packed, stored once and arrive under their names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.staging.upload import _growth
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.decided.decision import Decision
from tests.unit.console.test_progress import Heard
from tests.unit.specs import spec

from .submission import LARGE, Submission, host, prepared

__all__ = ["host"]


def test_inputs_arrive_under_their_names(host: Submission) -> None:
    host.put("a.txt", "a")
    host.put("data/b/c.txt", "c")
    host.put("../shared/d.txt", "d")
    host.put("large", "l" * LARGE)
    job = spec("j", ["a.txt", "data", "../shared/d.txt", str(host.home / "large"), "/cvmfs/x"])
    blobs = prepared(host.upload(), job)["j"]
    assert host.stage_in_files(blobs) == {
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


def test_size_of_an_archive_is_measured_while_it_is_written(tmp_path: Path) -> None:
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
    assert host.stage_in_files(blobs) == {"work/a.txt": "a" * (LARGE - 1)}


@pytest.mark.parametrize("text", ["small", "l" * LARGE])
def test_input_of_many_jobs_is_stored_once(host: Submission, text: str) -> None:
    host.put("table", text)
    upload = host.upload()
    jobs = [spec(f"j{number}", ["table"], ["table"]) for number in range(5)]
    found = {**prepared(upload, *jobs[:3]), **prepared(upload, *jobs[3:])}
    assert len(set(found.values())) == 1
    assert len(host.stored()) == 1
    assert host.stage_in_files(found["j4"]) == {"work/table": text}


def test_a_job_does_not_get_files_of_other_jobs(host: Submission) -> None:
    host.put("table", "t")
    for number in range(4):
        host.put(f"in{number}", str(number))
    jobs = [spec(f"j{number}", ["table", f"in{number}"], ["table"]) for number in range(4)]
    upload = host.upload()
    found = {**prepared(upload, *jobs[:2]), **prepared(upload, *jobs[2:])}
    for number in range(4):
        arrived = host.stage_in_files(found[f"j{number}"])
        assert arrived == {"work/table": "t", f"work/in{number}": str(number)}


def test_shared_file_is_not_packed_with_a_private_one(host: Submission) -> None:
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
    assert host.stage_in_files(blobs) == {f"work/{name}": name for name in names}


def test_a_large_file_is_stored_unpacked(host: Submission) -> None:
    path = host.put("large", "l" * LARGE)
    path.chmod(0o750)
    (blob,) = prepared(host.upload(), spec("j", ["large"]))["j"]
    assert (blob.kind, blob.name, blob.mode, blob.size) == ("raw", "work/large", 0o750, LARGE)
    assert blob.mtime_ns == path.stat().st_mtime_ns
    assert (host.store.folder / blob.digest).read_text() == "l" * LARGE


def test_every_job_gets_the_sources(host: Submission) -> None:
    host.put("Snakefile", "rule a")
    host.put("model.bin", "m" * LARGE)
    host.put("in", "i")
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "model.bin"))
    found = prepared(upload, spec("j1"), spec("j2", ["in"]))
    sources = {"work/Snakefile": "rule a", "work/model.bin": "m" * LARGE}
    assert host.stage_in_files(found["j1"]) == sources
    assert host.stage_in_files(found["j2"]) == sources | {"work/in": "i"}


def test_input_that_is_a_source_is_stored_once(host: Submission) -> None:
    host.put("Snakefile", "rule a")
    host.put("config/a.yaml", "a")
    upload = host.upload()
    upload.send_sources(host.sources("Snakefile", "config/a.yaml"))
    found = prepared(upload, spec("j1"), spec("j2", ["config/a.yaml"]))
    assert found["j1"] == found["j2"]


def test_no_tarball_is_stored_without_sources(host: Submission) -> None:
    upload = host.upload()
    upload.send_sources({})
    assert prepared(upload, spec("j")) == {"j": ()}
    assert host.stored() == set()


def test_depth_of_the_sources(host: Submission) -> None:
    host.put("../lib/tool.py", "t")
    upload = host.upload()
    (entry,) = scan(host.home / "../lib/tool.py", "up1/lib/tool.py")
    runs_snakemake, decided = spec("j"), replace(spec("j"), decision=Decision(()))
    assert upload.depth(runs_snakemake) == 0
    upload.send_sources({entry.name: entry})
    assert (upload.depth(runs_snakemake), upload.depth(decided)) == (1, 0)
    upload.send_included({entry.name: entry})
    assert upload.depth(decided) == 1


def test_folder_for_the_runtime(host: Submission) -> None:
    host.put("wheels/pkg/__init__.py", "x = 1")
    blob = host.upload().send_folder(host.home / "wheels")
    assert blob.kind == "runtime"
    host.stage_in_files([blob])
    assert (host.folder / "sandboxes/0/runtime/pkg/__init__.py").read_text() == "x = 1"


def test_empty_folder_and_link_inputs(host: Submission) -> None:
    (host.home / "empty").mkdir()
    host.put("d/a", "a")
    (host.home / "d" / "link").symlink_to("a")
    (blob,) = prepared(host.upload(), spec("j", ["empty", "d"]))["j"]
    assert host.stage_in_files([blob])["work/d/link"] == "a"
    assert (host.folder / "sandboxes/0/tree/me/home/empty").is_dir()
