"""What is asked of Rucio, and what is made of its answers."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.errors import MissingError, PermanentError
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.stores.rucio.catalog import checksum

from .fake import NOW, FakeClient, catalog, names


def test_what_is_left_out_of_an_answer_does_not_exist() -> None:
    client = FakeClient()
    client.add("s", "a/b", size=7, created=123.0, adler32="0bcb02fc")
    found = catalog(client).facts(["rucio://s/a/b", "rucio://s/none"])
    assert found == {"rucio://s/a/b": FileFacts(7, 123.0, "0bcb02fc"), "rucio://s/none": None}


def test_files_are_asked_for_in_chunks() -> None:
    client = FakeClient()
    client.answers["replicas"] = lambda files, *_: [[*file, {"SE": "root://x"}] for file in files]
    found = catalog(client).facts(names(2001))
    assert len(found) == 2001
    assert client.sizes("metadata") == [1000, 1000, 1]
    replicas = catalog(client).replicas(names(600))
    assert replicas == {name: {"SE": "root://x"} for name in names(600)}
    assert client.sizes("replicas") == [250, 250, 100]


def test_nothing_is_asked_for_no_files() -> None:
    client = FakeClient()
    assert catalog(client).facts([]) == {}
    assert catalog(client).replicas([]) == {}
    assert catalog(client).remove([]) == {}
    assert client.asked == []


@pytest.mark.parametrize(
    ("row", "there"),
    [
        ({"expires": NOW - 1}, False),
        ({"expires": NOW}, False),
        ({"expires": NOW + 60}, True),
        ({"lost": True}, False),
    ],
)
def test_what_was_removed_or_lost_does_not_exist(row: dict[str, Any], there: bool) -> None:
    client = FakeClient()
    client.add("s", "f0", **row)
    assert (catalog(client).facts(names(1))["rucio://s/f0"] is not None) == there


def test_a_dataset_is_no_file() -> None:
    client = FakeClient()
    client.add("s", "f0", type="DATASET")
    with pytest.raises(PermanentError, match="rucio://s/f0 is a dataset in Rucio, not a file"):
        catalog(client).facts(names(1))


def test_replicas_of_other_files_are_passed_over() -> None:
    client = FakeClient()
    client.answers["replicas"] = lambda *_: [["s", "f0", {"SE": ""}], ["s", "other", {"SE": "x"}]]
    assert catalog(client).replicas(names(2)) == {"rucio://s/f0": {"SE": ""}, "rucio://s/f1": {}}


def test_replicas_are_asked_for_from_where_they_are_read() -> None:
    client = FakeClient()
    client.answers["replicas"] = lambda *_: []
    catalog(client, site="Here", schemes=["root"]).replicas(names(1))
    assert client.asked == [("replicas", ([("s", "f0")], ("root",), "Here"))]


def test_the_files_of_a_dataset_are_listed_without_those_that_were_removed() -> None:
    client = FakeClient()
    client.add("s", "run", type="CONTAINER")
    client.add("s", "b")
    client.add("t", "a")
    client.add("s", "gone", expires=NOW - 5)
    client.answers["contents"] = lambda *_: [["s", "b"], ["t", "a"], ["s", "gone"]]
    assert catalog(client).listing("rucio://s/run/") == ["rucio://s/b", "rucio://t/a"]


@pytest.mark.parametrize(
    ("folder", "pattern"), [("rucio://s", "*"), ("rucio://s/", "*"), ("rucio://s/a/b", "a/b/*")]
)
def test_a_scope_or_a_part_of_names_is_listed(folder: str, pattern: str) -> None:
    client = FakeClient()
    client.add("s", "a/b/c")
    client.answers["matching"] = lambda *_: ["a/b/c"]
    assert catalog(client).listing(folder) == ["rucio://s/a/b/c"]
    assert ("matching", ("s", pattern)) in client.asked


def test_only_what_is_there_is_removed() -> None:
    client = FakeClient()
    client.add("s", "f0")
    client.add("s", "f1", expires=NOW - 9)
    client.add("s", "f3")
    client.answers["expire"] = lambda files: {"s:f3": "not yours"}
    assert catalog(client).remove(names(5)) == {"rucio://s/f3": "not yours"}
    assert ("expire", ([("s", "f0"), ("s", "f3")],)) in client.asked


@pytest.mark.parametrize(
    ("content", "size", "adler32", "whole"),
    [
        (b"content", 7, "0bcb02fc", True),
        (b"content", 7, "", True),
        (b"contend", 7, "0bcb02fc", False),
        (b"content", 8, "0bcb02fc", False),
    ],
)
def test_what_arrives_is_checked(
    tmp_path: Path, content: bytes, size: int, adler32: str, whole: bool
) -> None:
    client = FakeClient()
    client.add("s", "f0", size=size, adler32=adler32)

    def download(scope: str, name: str, folder: str) -> str:
        path = Path(folder, name)
        path.write_bytes(content)
        return str(path)

    client.answers["download"] = download
    target = tmp_path / "here" / "f0.root"
    target.parent.mkdir()
    if whole:
        catalog(client).get("rucio://s/f0", target)
        assert target.read_bytes() == content
    else:
        with pytest.raises(PermanentError, match="rucio://s/f0 arrived damaged: 7 bytes"):
            catalog(client).get("rucio://s/f0", target)
        assert not target.exists()
    assert set(target.parent.iterdir()) <= {target}


def test_what_does_not_exist_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="rucio://s/none does not exist"):
        catalog(FakeClient()).get("rucio://s/none", tmp_path / "none")


def test_an_upload_names_size_checksum_place_and_lifetime(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    client = FakeClient()
    client.answers["upload"] = lambda *_: {"size": 7, "created": 5.0, "adler32": "0bcb02fc"}
    made = catalog(client, rse="SE", lifetime=59.7).put("rucio://s/a/b", path)
    assert made == FileFacts(7, 5.0, "0bcb02fc")
    assert client.asked == [("upload", (str(path), "s", "a/b", "SE", 60, 7, "0bcb02fc"))]


def test_a_new_file_needs_a_storage_element(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with pytest.raises(PermanentError, match="--storage-grid-rucio-rse"):
        catalog(FakeClient()).put("rucio://s/f0", path)


def test_workers_write_and_files_are_registered_in_chunks() -> None:
    client = FakeClient()
    client.answers["write_urls"] = lambda files, *_: {f"{s}:{n}": f"root://{n}" for s, n in files}
    client.answers["register"] = lambda files, *_: {f"s:{n}": "taken" for _, n, *_ in files[:1]}
    place = catalog(client, rse="SE")
    assert place.write_urls(names(300))["rucio://s/f299"] == "root://f299"
    assert client.sizes("write_urls") == [250, 50]
    facts = dict.fromkeys(names(300), FileFacts(1, 0.0, "00000001"))
    refused = place.register(facts)
    assert set(refused) == {"rucio://s/f0", "rucio://s/f250"}
    assert "names in Rucio are never given to other content" in refused["rucio://s/f0"]
    assert client.asked[-1][1][0][-1] == ("s", "f299", 1, "00000001")


def test_the_checksum_is_that_of_rucio(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert checksum(path) == (0, "00000001")
    path.write_bytes(b"a" * (3 << 20))
    assert checksum(path) == (3 << 20, f"{zlib.adler32(b'a' * (3 << 20)):08x}")
