from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.store import LfnStore
from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import GridError, PermanentError, TransientError
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.stores.spool import RESERVE, SpoolStore
from tests.unit.backends.dirac.fake_dirac import FakeDirac
from tests.unit.clock import VirtualClock
from tests.unit.console.test_progress import Heard

FOLDER = "/vo/user/m/me/runs"
DOWN = TransientError("Connection refused")


class Bench:
    """A store on a storage element, a file catalog, and what the user has."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.folder = folder
        self.dirac = FakeDirac(folder)
        self.dirac.limit = RESERVE + 1000
        self.client = cast(Client, self.dirac)
        self.database = Database(folder / "grid.sqlite")
        self.catalog = Catalog(self.database)
        self.said: list[str] = []
        self.bundles: dict[str, str] = {}

        async def fine() -> str:
            return ""

        self.outages = Outages("dirac", 60.0, fine, self.said.append, VirtualClock())
        self.outages.use_loop(loop)
        self.store = self.again(url)

    def again(self, url: str = f"lfn:{FOLDER}/") -> LfnStore:
        """Return the store as a later run has it, with an empty spool."""
        spool = SpoolStore(
            self.folder / f"spool-{sum(1 for _ in self.folder.iterdir())}",
            self.dirac.sandbox_limit,
            "hint",
        )
        store = LfnStore(
            spool, self.client, self.outages, self.catalog, "SE-1", url, self.bundles.get
        )
        store.check()
        self.dirac.asked.clear()
        return store

    def file(self, size: int, name: str = "input") -> tuple[Path, str]:
        path = self.folder / name
        path.write_bytes(name.encode().ljust(size, b"."))
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def deliver(self, job: str, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.dirac.files[f"{FOLDER}/delivered/{job}/{digest}.data"] = content
        return digest


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(progress, "_current", heard)
    return heard


@pytest.fixture
def bench(
    tmp_path: Path,
    loop: asyncio.AbstractEventLoop,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    bench = Bench(tmp_path, loop, getattr(request, "param", f"lfn:{FOLDER}/"))
    yield bench
    bench.database.close()


def lfn_of(digest: str) -> str:
    return f"{FOLDER}/blobs/{digest[:2]}/{digest}"


def test_small_files_travel_in_the_sandbox(bench: Bench) -> None:
    path, digest = bench.file(1000)
    assert bench.store.put_file(path) == (1000, digest)
    assert bench.store.has(digest, 1000)
    assert bench.store.locate(digest) == ""
    assert bench.dirac.asked == []
    assert bench.catalog.locations() == []


def test_large_files_go_to_the_storage_element_once(bench: Bench) -> None:
    path, digest = bench.file(1001)
    assert not bench.store.has(digest, 1001)
    for _ in range(2):
        assert bench.store.put_file(path) == (1001, digest)
    assert bench.dirac.files == {lfn_of(digest): path.read_bytes()}
    assert bench.dirac.args_of("put") == [(lfn_of(digest), str(path), "SE-1")]
    assert bench.store.has(digest, 1001)
    assert bench.store.locate(digest) == f"lfn:{lfn_of(digest)}"
    assert bench.catalog.locations() == [f"lfn:{lfn_of(digest)}"]


def test_tarballs_are_gone_from_the_workspace(bench: Bench) -> None:
    for size in (1000, 1001):
        path, digest = bench.file(size)
        part = bench.store.workspace / "part"
        path.rename(part)
        bench.store.put(digest, part)
        assert not part.exists()
        assert bench.store.has(digest, size)
        assert (lfn_of(digest) in bench.dirac.files) is (size == 1001)
    bench.dirac.errors["put"] = [PermanentError("storage element is full")]
    path, digest = bench.file(1002)
    part = path.rename(bench.store.workspace / "part")
    with pytest.raises(PermanentError, match="is full"):
        bench.store.put(digest, part)
    assert not part.exists()


def test_later_runs_find_what_is_there(bench: Bench) -> None:
    path, digest = bench.file(1001)
    bench.store.put_file(path)
    later = bench.again()
    assert later.has(digest, 1001)
    assert later.locate(digest) == f"lfn:{lfn_of(digest)}"
    later.put_file(path)
    assert bench.dirac.counts["put"] == 0


def test_what_was_removed_meanwhile_goes_up_again(bench: Bench) -> None:
    path, digest = bench.file(1001)
    bench.store.put_file(path)
    bench.dirac.files.clear()
    later = bench.again()
    assert not later.has(digest, 1001)
    later.put_file(path)
    assert bench.dirac.files.keys() == {lfn_of(digest)}


def test_an_upload_that_broke_off_is_made_anew(bench: Bench) -> None:
    path, digest = bench.file(1001)
    part = bench.store.workspace / "part"
    part.write_bytes(path.read_bytes())
    bench.dirac.files[lfn_of(digest)] = b"half"
    bench.store.put(digest, part)
    assert bench.dirac.files[lfn_of(digest)] == path.read_bytes()


def test_an_upload_is_tried_again_in_an_outage(bench: Bench) -> None:
    path, digest = bench.file(1001)
    bench.dirac.errors["put"] = [DOWN]
    bench.dirac.lost["put"] = [DOWN]
    bench.store.put_file(path)
    assert bench.dirac.files[lfn_of(digest)] == path.read_bytes()
    assert bench.dirac.counts["put"] == 2  # the one whose answer was lost had arrived
    assert [text.split()[1] for text in bench.said] == ["does", "answers"]


def test_what_does_not_arrive_whole_is_an_error(bench: Bench) -> None:
    path, _ = bench.file(1001)
    bench.dirac.put = lambda lfn, path, element: None  # type: ignore[method-assign]
    with pytest.raises(PermanentError, match=r"/blobs/.* has not arrived whole on SE-1"):
        bench.store.put_file(path)
    assert len(bench.catalog.locations()) == 1  # so that it can be removed, whatever there is


def test_what_a_job_delivered_is_downloaded_once(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"output")
    assert bench.store.inbox("j-1") == f"lfn:{FOLDER}/delivered/j-1"
    for _ in range(2):
        assert bench.store.fetch_output("j-1", digest).read_bytes() == b"output"
    assert bench.dirac.counts["get"] == 1


def test_jobs_of_a_bundle_share_its_folder(bench: Bench) -> None:
    digest = hashlib.sha256(b"equal").hexdigest()
    for job in ("j-1", "j-2"):
        bench.bundles[job] = "bundle"
        bench.dirac.files[f"{FOLDER}/delivered/bundle/{job}.{digest}.data"] = b"equal"
    assert bench.store.fetch_output("j-1", digest).read_bytes() == b"equal"
    bench.store.drop("j-1")
    assert bench.store.fetch_output("j-2", digest).read_bytes() == b"equal"
    assert list(bench.dirac.files) == [f"{FOLDER}/delivered/bundle/j-2.{digest}.data"]


def test_output_that_is_larger_than_reported_is_not_downloaded(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"a bomb")
    with pytest.raises(UntrustedError, match=f"{digest}.data has 6 bytes"):
        bench.store.fetch_output("j-1", digest, 5)
    assert bench.dirac.counts["get"] == 0
    assert bench.store.fetch_output("j-1", digest, 6).read_bytes() == b"a bomb"


def test_an_output_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=f"{FOLDER}/delivered/j-1/{'a' * 64}.data cannot be"):
        bench.store.fetch_output("j-1", "a" * 64)


def test_an_outage_in_a_download_is_for_the_caller_to_wait_out(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"output")
    bench.dirac.lost["get"] = [DOWN]
    with pytest.raises(TransientError):
        bench.store.fetch_output("j-1", digest)
    assert bench.store.fetch_output("j-1", digest).read_bytes() == b"output"


def test_what_serves_other_jobs_stays_and_the_rest_goes(bench: Bench) -> None:
    kept, left = bench.deliver("j-1", b"kept"), bench.deliver("j-1", b"left")
    paths = [bench.store.fetch_output("j-1", digest) for digest in (kept, left)]
    bench.store.keep("j-1", [kept, "never delivered"])
    bench.store.drop("j-1")
    url = f"lfn:{FOLDER}/delivered/j-1/{kept}.data"
    assert bench.dirac.files.keys() == {url.removeprefix("lfn:")}
    assert not any(path.exists() for path in paths)
    assert bench.store.has(kept, 4)
    assert not bench.store.has(left, 4)
    assert bench.store.locate(kept) == url
    assert bench.catalog.locations() == [url]
    later = bench.again()
    assert later.has(kept, 4)
    assert later.locate(kept) == url


def test_what_cannot_be_removed_is_remembered(bench: Bench) -> None:
    digest = bench.deliver("j-1", b"left")
    bench.store.fetch_output("j-1", digest)
    bench.dirac.errors["remove"] = [DOWN]
    bench.store.drop("j-1")
    assert bench.catalog.locations() == [f"lfn:{FOLDER}/delivered/j-1/{digest}.data"]
    assert bench.catalog.location(digest) is None  # it is of no use any more
    other = bench.deliver("j-2", b"left")
    bench.store.fetch_output("j-2", other)
    lfn = f"{FOLDER}/delivered/j-2/{other}.data"
    bench.dirac.remove = lambda lfns: {lfn: "busy"}  # type: ignore[method-assign]
    bench.store.drop("j-2")
    assert f"lfn:{lfn}" in bench.catalog.locations()


def test_dropping_nothing_asks_nobody(bench: Bench) -> None:
    bench.store.drop("j-1")
    assert bench.dirac.asked == []


def test_the_check_leaves_nothing(bench: Bench) -> None:
    assert bench.dirac.files == {}
    assert bench.catalog.stores() == [f"lfn:{FOLDER}"]
    assert [path.name for path in bench.store.workspace.iterdir()] == []


def test_a_storage_element_that_does_not_take_files_is_named(bench: Bench) -> None:
    bench.dirac.errors["put"] = [PermanentError("Permission denied")]
    with pytest.raises(
        PermanentError, match=f"SE-1 cannot be used for lfn:{FOLDER}: Permission denied; choose"
    ):
        bench.store.check()
    assert list(bench.store.workspace.iterdir()) == []


@pytest.mark.parametrize("bench", [""], indirect=True)
def test_without_a_url_the_folder_is_in_the_users_own(bench: Bench) -> None:
    assert bench.store.folder == "/vo/user/m/me/snakemake-grid"
    assert bench.store.deliveries == "/vo/user/m/me/snakemake-grid/delivered"
    bench.dirac.proxy_fields["user"] = ""
    with pytest.raises(GridError, match="does not tell user and VO; give lfn:"):
        bench.again("")


def test_the_limits_are_those_of_the_sandbox(bench: Bench) -> None:
    assert bench.store.limits.hint == "hint"
    assert (bench.store.limits.outputs or 0) + (bench.store.limits.log or 0) <= 1000


def test_transfers_to_and_from_the_storage_element_are_announced(
    bench: Bench, heard: Heard
) -> None:
    path, _ = bench.file(2000)
    bench.store.put_file(path)
    bench.store.fetch_output("j-1", bench.deliver("j-1", b"output"))
    assert heard.announced == [("input", 2000, True, "SE-1"), ("outputs of j-1", 0, False, "SE-1")]


@pytest.mark.parametrize("digest", ["/home/me/.ssh/x", "../../x", "A" * 64, "a" * 63, ""])
def test_what_is_no_digest_reaches_no_file(bench: Bench, tmp_path: Path, digest: str) -> None:
    """Keys of a report became paths of the submit host, and LFNs that are removed later."""
    calls = (
        lambda: bench.store.fetch_output("j-1", digest),
        lambda: bench.store.has(digest, 10_000),
        lambda: bench.store.inbox(f"../{digest}"),
        lambda: bench.store.fetch_output("../j", "a" * 64),
    )
    before = sorted(tmp_path.rglob("*"))
    for call in calls:
        with pytest.raises(GridError, match=r"no SHA-256|no plain name"):
            call()
    bench.store.drop("j-1")
    assert bench.dirac.asked == []
    assert sorted(tmp_path.rglob("*")) == before
