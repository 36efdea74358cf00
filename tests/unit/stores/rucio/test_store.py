"""The store in Rucio: what is registered, for how long, and what is never left unknown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.progress import Transfer
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores.inventory import RemoteInventory
from snakemake_executor_plugin_grid.stores.rucio.transport import PROBE, split

from .store_bench import DAY, LIFETIME, ROOT, URL, Bench, bench

__all__ = ["bench"]

DOWN = TransientError("Connection refused")


def blob(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def test_check_registers_one_small_file_once(bench: Bench) -> None:
    assert bench.element.files() == bench.registered()
    assert len(bench.registered()) == 1
    assert bench.catalog.elements(URL) == ["RSE"]
    assert bench.catalog.locations() == [f"{URL}/{PROBE}"]
    bench.rucio.asked.clear()
    bench.reopen().check()
    assert not bench.rucio.calls("registration")


@pytest.mark.parametrize("call", ["blob_urls", "blobs", "registration"])
def test_error_names_a_store_that_cannot_be_used(bench: Bench, call: str) -> None:
    for error in (PermanentError("no such scope"), TransientError("down")):
        bench.rucio.names.clear()
        bench.rucio.errors[call] = [error]
        with pytest.raises(type(error), match=f"--grid-store {URL}: it cannot be used: {error}"):
            bench.reopen()
    bench.rucio.errors["blob_urls"] = [CredentialsError("renew it")]
    with pytest.raises(CredentialsError, match=r"^renew it$"):
        bench.reopen()


def test_file_is_uploaded_and_registered_once(bench: Bench) -> None:
    path, digest = bench.file()
    assert not bench.store.has(digest, 7)
    for _ in range(2):
        assert bench.store.put_file(path) == (7, digest)
    assert bench.rucio.calls("registration") == [1]
    assert bench.row(digest) == [7, "0bcb02fc", 1e9 + LIFETIME, "AVAILABLE"]
    assert bench.store.locate(digest).endswith(f"/run/blobs-of-mine/{blob(digest)}")
    assert bench.store.locate(digest).startswith(f"{ROOT}/"), "https is read with credentials"
    assert bench.element.files() == bench.registered()
    later = bench.reopen()
    assert later.has(digest, 7)
    later.put_file(path)
    assert not bench.rucio.calls("registration")


def test_a_later_run_asks_for_all_blobs_at_once(bench: Bench) -> None:
    files = [bench.file(b"%d" % number, f"input-{number}") for number in range(300)]
    for path, _ in files:
        bench.store.put_file(path)
    later = bench.reopen()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda file: later.has(file[1], file[0].stat().st_size), files))
    assert sum(bench.rucio.calls("blobs")) <= 303
    assert len(bench.rucio.calls("blobs")) <= 3
    assert len(bench.rucio.calls("blob_urls")) <= 6
    asked = len(bench.rucio.asked)
    assert {later.locate(digest).rpartition("/")[2] for _, digest in files} == {
        digest for _, digest in files
    }
    assert len(bench.rucio.asked) == asked, "URLs are known then"


def test_blobs_that_end_soon_are_kept_longer(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.row(digest)[2] = end = bench.rucio.now + 16 * DAY
    assert bench.reopen().has(digest, 7)
    assert bench.row(digest)[2] == end
    bench.row(digest)[2] = bench.rucio.now + 14 * DAY
    assert bench.reopen().has(digest, 7)
    assert bench.row(digest)[2] == bench.rucio.now + LIFETIME
    assert not bench.element.calls


def test_a_blob_that_cannot_be_kept_longer_is_not_used(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.row(digest)[2] = bench.rucio.now + 60
    bench.rucio.errors["renewal"] = [PermanentError("not your scope"), DOWN]
    later = bench.reopen()
    with pytest.raises(PermanentError, match="not your scope"):
        later.has(digest, 7)


def test_a_run_of_weeks_keeps_what_it_has_used(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.rucio.now += 20 * DAY
    bench.rucio.errors["renewal"] = [DOWN]
    output = bench.deliver("j-1", b"output")
    bench.store.fetch_output("j-1", output)
    assert bench.row(digest)[2] == 1e9 + LIFETIME
    bench.store.fetch_output("j-1", bench.deliver("j-1", b"more"))
    assert bench.row(digest)[2] == bench.rucio.now + LIFETIME


def test_an_expired_blob_is_uploaded_again(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.rucio.now += 31 * DAY
    later = bench.reopen()
    assert not later.has(digest, 7)
    later.put_file(path)
    assert bench.row(digest)[2] == bench.rucio.now + LIFETIME


def test_a_replica_that_is_not_good_is_not_used(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.row(digest)[3] = "BAD"
    later = bench.reopen()
    with pytest.raises(PermanentError, match="at RSE is BAD, not AVAILABLE: ask"):
        later.put_file(path)
    bench.row(digest)[3] = "BEING_DELETED"
    with pytest.raises(TransientError, match="is being deleted by Rucio"):
        bench.transport().size(blob(digest))
    bench.row(digest)[3] = ""  # it is at another storage element
    later = bench.reopen()
    assert not later.has(digest, 7)
    later.put_file(path)
    assert bench.row(digest)[3] == "AVAILABLE"


def test_content_that_changes_gets_no_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = bench.file(b"content")
    upload = bench.element.upload

    def change(source: Path, name: str, transfer: Transfer) -> None:
        path.write_bytes(b"CONTENT")
        upload(source, name, transfer)

    monkeypatch.setattr(bench.element, "upload", change)
    with pytest.raises(PermanentError, match="changed while it was being stored"):
        bench.store.put_file(path)
    assert len(bench.rucio.names) == 1
    assert bench.element.files() == bench.registered()


def test_what_rucio_does_not_take_is_removed(bench: Bench) -> None:
    output = bench.deliver("j-1", b"output")
    bench.store.fetch_output("j-1", output)
    bench.rucio.errors["registration"] = [PermanentError("over quota")]
    bench.store.keep("j-1", [output])
    assert bench.element.files() == bench.registered()
    path, digest = bench.file()
    bench.rucio.errors["registration"] = [PermanentError("over quota")]
    with pytest.raises(PermanentError, match="over quota"):
        bench.store.put_file(path)
    assert bench.element.files() == bench.registered()
    bench.store.put_file(path)
    bench.row(digest)[2] = bench.rucio.now - 1
    bench.rucio.errors["registration"] = [PermanentError("over quota")]
    with pytest.raises(PermanentError, match="over quota"):
        bench.reopen().put_file(path)
    assert bench.element.files() == bench.registered(), "Rucio removes it"


def test_outages_are_waited_for(bench: Bench) -> None:
    path, digest = bench.file()
    bench.rucio.errors.update(blobs=[DOWN], registration=[DOWN])
    bench.element.errors["upload"] = [DOWN]
    bench.store.put_file(path)
    assert bench.store.has(digest, 7)
    assert bench.said[0].startswith(f"{URL} does not answer")


def test_waiting_for_credentials_asks_both_servers(bench: Bench) -> None:
    path, _ = bench.file()
    expired = CredentialsError("the proxy has expired")
    bench.element.errors["upload"] = [expired]
    bench.element.errors["size"] = [expired]
    bench.rucio.errors["whoami"] = [expired]
    bench.store.put_file(path)
    assert bench.said[0].startswith("Waiting for credentials: the proxy has expired.")
    assert bench.rucio.calls("whoami") == [0, 0, 0]


def test_outputs_that_other_jobs_read_get_a_name(bench: Bench) -> None:
    kept, left = bench.deliver("j-1", b"kept"), bench.deliver("j-1", b"left")
    for digest in (kept, left):
        bench.store.fetch_output("j-1", digest).unlink()  # it was moved into place
    bench.store.keep("j-1", [kept, "never delivered"])
    assert not any(call.startswith("upload") for call in bench.element.calls)
    bench.store.drop("j-1")
    assert bench.element.files() == bench.registered()
    assert bench.row(kept)[0] == 4
    assert bench.store.has(kept, 4)
    assert bench.store.locate(kept).endswith(blob(kept))
    assert bench.reopen().has(kept, 4)


def test_what_cannot_be_renamed_is_uploaded_when_it_is_needed(bench: Bench) -> None:
    for number, error in enumerate([None, DOWN, PermanentError("no")]):
        bench.element.renames = error is not None
        bench.element.errors["move"] = [error] if error else []
        content = b"kept %d" % number
        digest = bench.deliver("j-1", content)
        bench.store.fetch_output("j-1", digest)
        bench.store.keep("j-1", [digest])
        bench.store.drop("j-1")
        assert bench.element.files() == bench.registered()
        assert not bench.store.has(digest, len(content))
        bench.store.put_file(bench.file(content)[0])
        assert bench.store.has(digest, len(content))


def test_equal_outputs_of_two_jobs_are_one_blob(bench: Bench) -> None:
    for job in ("j-1", "j-2"):
        digest = bench.deliver(job, b"kept")
        bench.store.fetch_output(job, digest)
        bench.store.keep(job, [digest])
        bench.store.drop(job)
    assert bench.rucio.calls("registration") == [1]
    assert bench.element.files() == bench.registered()


def test_small_files_are_not_registered(bench: Bench) -> None:
    path, _ = bench.file(b"secret")
    url = bench.store.post("chunk-1", path)
    assert url.startswith(f"{ROOT}/")
    assert bench.element.files() - bench.registered()
    assert bench.catalog.location("") is not None
    bench.store.withdraw(["chunk-1"])
    bench.deliver("j-1", b"{}", "report.json")
    assert bench.store.fetch_file("j-1", "report.json", bench.folder / "report.json")
    bench.store.drop("j-1")
    assert bench.element.files() == bench.registered()


def test_clean_finds_everything_that_a_killed_run_leaves(bench: Bench) -> None:
    path, digest = bench.file()
    bench.store.put_file(path)
    bench.row(digest)[2] = bench.rucio.now + DAY
    bench.write_only(b"written only")
    bench.store.post("chunk-1", path)
    for job in ("j-1", "of-others-1"):
        bench.deliver(job, b"never fetched")
    transport = bench.transport(looks=True)
    noted = bench.catalog.locations()
    transport.expect(url.removeprefix(f"{URL}/") for url in noted)
    inventory = RemoteInventory(transport, noted, {"j-1"})
    found = inventory.find()
    assert sorted(found.there.values()) == [7, 7, 12, 13, 35]
    assert bench.row(digest)[2] == bench.rucio.now + DAY, "to look keeps nothing longer"
    assert inventory.remove(list(found.there)) == {}
    inventory.tidy(list(found.there))
    assert all(row[2] < bench.rucio.now for row in bench.rucio.names.values())
    left = bench.element.files() - bench.registered()
    assert [name for name in left if "of-others" not in name] == []
    assert inventory.find().there == {}


def test_roots_of_storage_elements() -> None:
    assert split("davs://host:8443/webdav/cms/a/b") == ("davs://host:8443/webdav", "cms/a/b")
    assert split("root://host:1094//store/user/a") == ("root://host:1094//store", "user/a")
    assert split("root://host/store/user/a") == ("root://host//store", "user/a")
