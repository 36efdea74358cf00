"""Remote stores: files that belong to one job, delivered by it or posted for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError, MissingError, PermanentError
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError

from .remote_bench import DOWN, URL, Bench, bench

__all__ = ["bench"]

_MANY = 40


def test_delivered_output_is_downloaded_once(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"output")
    assert bench.store.inbox("j-1") == f"{URL}/delivered/j-1?signature"
    bench.transport.errors["download"] = [DOWN]
    for _ in range(2):
        assert bench.store.fetch_output("j-1", digest).read_bytes() == b"output"
    assert (
        bench.transport.calls == [f"download delivered/j-1/{digest}"] * 2
    )  # the first attempt failed


def test_output_that_is_larger_than_reported_is_not_downloaded(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"a bomb")
    with pytest.raises(UntrustedError, match=f"delivered/j-1/{digest} has 6 bytes"):
        bench.store.fetch_output("j-1", digest, 5)
    assert bench.transport.calls == ["size"]
    assert bench.store.fetch_output("j-1", digest, 6).read_bytes() == b"a bomb"


def test_report_that_is_too_large_is_removed_and_not_downloaded(bench: Bench) -> None:
    bench.deliver("j-1", b"too long", "report.json")
    with pytest.raises(UntrustedError):
        bench.store.fetch_file("j-1", "report.json", bench.folder / "report.json", 7)
    assert bench.transport.calls == ["size"]
    bench.store.drop("j-1")
    assert bench.transport.files() == set()


def test_error_names_a_missing_output(bench: Bench) -> None:
    with pytest.raises(MissingError, match=f"has not delivered delivered/j-1/{'a' * 64}"):
        bench.store.fetch_output("j-1", "a" * 64)
    assert [path for path in bench.store.workspace.rglob("*") if path.is_file()] == []


def test_outputs_kept_for_other_jobs_stay_and_the_rest_is_removed(bench: Bench) -> None:
    kept, left = bench.deliver("j-1", b"kept"), bench.deliver("j-1", b"left")
    bench.deliver("j-1", b"{}", "report.json")
    paths = [bench.store.fetch_output("j-1", digest) for digest in (kept, left)]
    assert bench.store.fetch_file("j-1", "report.json", bench.folder / "report.json")
    bench.store.keep("j-1", [kept, "never delivered"])
    bench.store.drop("j-1")
    assert bench.transport.files() == {f"delivered/j-1/{kept}"}
    assert not any(path.exists() for path in paths)
    assert bench.store.locate(kept) == f"{URL}/delivered/j-1/{kept}?signature"
    later = bench.reopen()
    assert later.has(kept, 4)
    assert later.locate(kept) == f"{URL}/delivered/j-1/{kept}?signature"
    assert not later.has(left, 4)


def test_all_files_of_a_job_are_removed_if_no_other_job_needs_them(bench: Bench) -> None:
    bench.store.fetch_output("j-1", bench.deliver("j-1", b"left"))
    bench.store.drop("j-1")
    assert list((bench.transport.folder / "delivered").iterdir()) == []
    bench.transport.calls.clear()
    bench.store.drop("j-2")
    assert bench.transport.calls == []


def test_file_that_cannot_be_removed_stays_in_the_catalog(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"left")
    bench.store.fetch_output("j-1", digest)
    bench.transport.errors["remove"] = [DOWN]
    bench.store.drop("j-1")
    assert bench.catalog.locations() == [f"{URL}/delivered/j-1/{digest}"]
    assert bench.catalog.location(digest) is None  # no run uses it any more


def test_reports_and_logs(bench: Bench) -> None:
    target = bench.folder / "report.json"
    assert not bench.store.fetch_file("j-1", "report.json", target)
    assert not target.exists()
    bench.deliver("j-1", b"{}", "report.json")
    bench.transport.errors["download"] = [DOWN]
    assert bench.store.fetch_file("j-1", "report.json", target)
    assert target.read_bytes() == b"{}"
    assert [path.name for path in target.parent.glob("*.part")] == []


def test_a_download_does_not_wait_behind_uploads_that_hang(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = bench.deliver("j-1", b"output")
    begun, opened = threading.Semaphore(0), threading.Event()

    def hangs(*_: object) -> None:
        begun.release()
        assert opened.wait(30)
        raise PermanentError("it never came")

    monkeypatch.setattr(bench.transport, "upload", hangs)
    files = [bench.file(b"%d" % number, f"input-{number}")[0] for number in range(_MANY)]
    with ThreadPoolExecutor(_MANY + 1) as pool:
        uploads = [pool.submit(bench.store.put_file, path) for path in files]
        try:
            for _ in uploads:
                assert begun.acquire(timeout=10)
            fetched = pool.submit(bench.store.fetch_output, "j-1", digest)
            assert fetched.result(10).read_bytes() == b"output"
        finally:
            opened.set()


def test_posted_files(bench: Bench) -> None:
    path, _ = bench.file(b"secret")
    assert bench.store.post("chunk-1", path) == f"{URL}/posted/chunk-1?signature"
    assert bench.catalog.locations() == [f"{URL}/posted/chunk-1"]
    path.write_bytes(b"other!")
    bench.store.post("chunk-1", path)
    assert (bench.transport.folder / "posted" / "chunk-1").read_bytes() == b"other!"
    target = bench.folder / "target"
    assert bench.store.fetch_posted("chunk-1", target)
    assert target.read_bytes() == b"other!"
    assert not bench.store.fetch_posted("never-posted", target)
    bench.transport.errors["remove"] = [DOWN]
    bench.store.withdraw(["chunk-1"])
    assert bench.catalog.locations() == [f"{URL}/posted/chunk-1"]
    bench.store.withdraw(["chunk-1", "never-posted"])
    assert bench.catalog.locations() == []
    assert bench.transport.files() == set()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\nb", "-x"])
def test_unsafe_names_are_refused(bench: Bench, name: str) -> None:
    path, _ = bench.file()
    calls: list[Callable[[], object]] = [
        lambda: bench.store.post(name, path),
        lambda: bench.store.withdraw([name]),
        lambda: bench.store.fetch_posted(name, path),
        lambda: bench.store.fetch_file("j-1", name, path),
        lambda: bench.store.inbox(name),
    ]
    for call in calls:
        with pytest.raises(GridError, match="is no plain name"):
            call()
    assert bench.transport.calls == []
